/** One message in the form that each kind of receiver takes. Pure: the same message gives the same bytes. */
import { createHmac } from 'node:crypto';
import { formatInstant, instantFromMs } from '@poolmeter/domain';
import { runbookOf } from '../store/incident-rows.js';
import type { IncidentTable } from '../store/alerts-database.js';
import type { NotificationItem } from './plan-notifications.js';

export type MessageIncident = Pick<
  IncidentTable,
  | 'incident_id'
  | 'code'
  | 'title'
  | 'severity'
  | 'action'
  | 'status'
  | 'reason'
  | 'blame'
  | 'billing_class'
  | 'node'
  | 'pool'
  | 'provider_id'
  | 'gpu_uuids'
  | 'opened_at'
  | 'cleared_at'
  | 'affected_lease_ids'
>;

export interface Message {
  /** The same at every attempt: receivers can tell a repeat by it. */
  readonly id: string;
  readonly groupKey: string;
  readonly items: readonly (NotificationItem & { readonly incident: MessageIncident })[];
  readonly consoleUrl: string | undefined;
}

/** Alertmanager forgets an alert that is not repeated; this long after the last word it counts as over. */
const FIRING_FOR_MS = 300_000;

/** The body of `POST /api/v2/alerts`. The labels are the identity of an alert there. */
export function alertmanagerAlerts(message: Message, nowMs: number): Record<string, unknown>[] {
  return message.items.map(({ incident, state }) => ({
    labels: {
      alertname: incident.code,
      incident_id: incident.incident_id,
      severity: incident.severity,
      node: incident.node,
      pool: incident.pool,
      provider_id: incident.provider_id,
      service: 'poolmeter',
    },
    annotations: {
      summary: headline(incident),
      description: incident.reason,
      action: incident.action,
      runbook_url: runbookOf(incident.code),
    },
    startsAt: iso(incident.opened_at),
    endsAt:
      state === 'resolved'
        ? iso(incident.cleared_at ?? incident.opened_at)
        : iso(new Date(nowMs + FIRING_FOR_MS)),
    ...(message.consoleUrl === undefined ? {} : { generatorURL: linkOf(message, incident) }),
  }));
}

/** The body of our own webhook. */
export function webhookBody(message: Message): Record<string, unknown> {
  return {
    id: message.id,
    type: 'incidents.changed',
    group: message.groupKey,
    incidents: message.items.map(({ incident, state }) => ({
      state,
      id: incident.incident_id,
      code: incident.code,
      title: incident.title,
      severity: incident.severity,
      status: incident.status,
      action: incident.action,
      blame: incident.blame,
      billing_class: incident.billing_class,
      node: incident.node,
      pool: incident.pool,
      provider_id: incident.provider_id,
      gpu_uuids: incident.gpu_uuids,
      affected_lease_ids: incident.affected_lease_ids,
      opened_at: iso(incident.opened_at),
      cleared_at: incident.cleared_at === null ? null : iso(incident.cleared_at),
      reason: incident.reason,
      runbook_url: runbookOf(incident.code),
      ...(message.consoleUrl === undefined ? {} : { url: linkOf(message, incident) }),
    })),
  };
}

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 with the shared secret over `SECONDS.BODY`, so that an old body cannot be sent again later. */
export function webhookSignature(
  body: string,
  by: { readonly secret: string; readonly atMs: number },
): string {
  const seconds = Math.floor(by.atMs / 1_000);
  const digest = createHmac('sha256', by.secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}

/** Slack's incoming webhooks, and whatever takes the same form. */
export function slackBody(message: Message): Record<string, unknown> {
  return {
    text: subjectOf(message),
    attachments: message.items.map(({ incident, state }) => ({
      color: state === 'resolved' ? '#2eb67d' : incident.severity === 'fatal' ? '#e01e5a' : '#ecb22e',
      title: slackText(headline(incident)),
      ...(message.consoleUrl === undefined ? {} : { title_link: linkOf(message, incident) }),
      text: slackText(`${state === 'resolved' ? 'Over. ' : ''}${incident.reason}`),
      fields: [
        { title: 'severity', value: incident.severity, short: true },
        { title: 'action', value: incident.action, short: true },
        { title: 'runbook', value: runbookOf(incident.code), short: false },
      ],
    })),
  };
}

/** One event of PagerDuty's Events API v2 per incident; its deduplication key makes repeats harmless. */
export function pagerdutyEvents(message: Message, routingKey: string): Record<string, unknown>[] {
  return message.items.map(({ incident, state }) => ({
    routing_key: routingKey,
    event_action: state === 'resolved' ? 'resolve' : 'trigger',
    dedup_key: incident.incident_id,
    payload: {
      summary: headline(incident).slice(0, 1_024),
      source: incident.node,
      severity: { info: 'info', warn: 'warning', critical: 'error', fatal: 'critical' }[incident.severity],
      timestamp: iso(incident.opened_at),
      component: incident.gpu_uuids.join(', ') || incident.node,
      group: incident.pool,
      class: incident.code,
      custom_details: { reason: incident.reason, action: incident.action, runbook: runbookOf(incident.code) },
    },
    ...(message.consoleUrl === undefined
      ? {}
      : { links: [{ href: linkOf(message, incident), text: 'Incident' }] }),
  }));
}

/** Subject and text of an e-mail; plain text only. */
export function mailText(message: Message): { readonly subject: string; readonly text: string } {
  const parts = message.items.map(({ incident, state }) =>
    [
      `${state === 'resolved' ? 'OVER' : incident.severity.toUpperCase()}: ${headline(incident)}`,
      `Since ${iso(incident.opened_at)}${incident.cleared_at === null ? '' : `, until ${iso(incident.cleared_at)}`}. ${incident.reason}`,
      `What to do: ${incident.action}, see ${runbookOf(incident.code)}.`,
      ...(message.consoleUrl === undefined ? [] : [linkOf(message, incident)]),
    ].join('\n'),
  );
  return { subject: subjectOf(message), text: `${parts.join('\n\n')}\n` };
}

export function subjectOf(message: Message): string {
  const firing = message.items.filter((one) => one.state === 'firing').length;
  const over = message.items.length - firing;
  const counts = [...(firing > 0 ? [`${firing} open`] : []), ...(over > 0 ? [`${over} over`] : [])].join(
    ', ',
  );
  return `[poolmeter] ${counts}: ${message.groupKey}`;
}

function headline(incident: MessageIncident): string {
  const gpus = incident.gpu_uuids.length === 1 ? ` (${incident.gpu_uuids[0] ?? ''})` : '';
  return `${incident.title} on ${incident.node}${gpus}`;
}

function linkOf(message: Message, incident: MessageIncident): string {
  return `${(message.consoleUrl ?? '').replace(/\/$/, '')}/incidents/${encodeURIComponent(incident.incident_id)}`;
}

/** These three have a meaning in Slack's text; names of nodes come from outside. */
function slackText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function iso(date: Date): string {
  return formatInstant(instantFromMs(date.getTime()));
}
