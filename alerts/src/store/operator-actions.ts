/** What operators do to incidents: each with who, why, before and after, in the transaction of its effect. */
import { formatInstant, PoolmeterError, type EpochMs, type IdSource } from '@poolmeter/domain';
import { writeAudit, type Principal } from '@poolmeter/http-api';
import { writeOutbox, type RelationalStore } from '@poolmeter/relational-store';
import type { Transaction } from 'kysely';
import type { BillingClass, Blame } from '../policy/fault-policy.js';
import type { AlertsDatabase, IncidentTable, OperatorActionKind } from './alerts-database.js';
import { dateOf, instantOf } from './incident-rows.js';
import { copyMessage, createRevisionSource } from './write-judgement.js';

type Trx = Transaction<AlertsDatabase>;
type IncidentRow = Omit<IncidentTable, 'created_at' | 'updated_at'>;

export interface OperatorRequest {
  readonly incidentId: string;
  readonly at: EpochMs;
  readonly reason: string;
  readonly principal: Principal;
  readonly requestId: string;
  readonly ids: IdSource;
}

/** Somebody has taken it on. A repeat changes nothing. */
export function acknowledge(store: RelationalStore<AlertsDatabase>, request: OperatorRequest): Promise<void> {
  return act(store, { ...request, kind: 'ack' }, (row) => {
    refuseCleared(row, 'acknowledged');
    if (row.acknowledged_at !== null) return undefined;
    const status = row.status === 'open' ? ('acknowledged' as const) : row.status;
    return { acknowledged_at: dateOf(request.at), status };
  });
}

/** The operator's word ends the incident, and its verdicts, at `endsAt`. */
export function resolve(
  store: RelationalStore<AlertsDatabase>,
  request: OperatorRequest & { readonly endsAt: EpochMs },
): Promise<void> {
  return act(store, { ...request, kind: 'resolve' }, (row) => {
    refuseCleared(row, 'resolved');
    if (request.endsAt <= instantOf(row.opened_at) || request.endsAt > request.at) {
      const span = `after ${formatInstant(instantOf(row.opened_at))} and not in the future`;
      throw new PoolmeterError('input.invalid', `An incident ends ${span}.`, {
        details: { errors: [{ path: 'body.cleared_at', message: `must be ${span}` }] },
      });
    }
    return {
      status: 'resolved' as const,
      cleared_at: dateOf(request.endsAt),
      reason: 'An operator resolved it.',
    };
  });
}

/** The operator's word on who is to blame and who pays; it outlives every later judgement. */
export function classify(
  store: RelationalStore<AlertsDatabase>,
  request: OperatorRequest & { readonly billingClass: BillingClass; readonly blame: Blame | undefined },
): Promise<void> {
  return act(store, { ...request, kind: 'classify' }, (row) => {
    const blame = request.blame ?? row.blame;
    return {
      classified_class: request.billingClass,
      classified_blame: blame,
      billing_class: request.billingClass,
      blame,
    };
  });
}

function refuseCleared(row: IncidentRow, verb: string): void {
  if (row.cleared_at === null) return;
  throw new PoolmeterError(
    'input.conflict',
    `Incident ${row.incident_id} is ${row.status}; it cannot be ${verb}.`,
  );
}

type Change = Partial<
  Pick<
    IncidentRow,
    | 'acknowledged_at'
    | 'status'
    | 'cleared_at'
    | 'reason'
    | 'classified_class'
    | 'classified_blame'
    | 'billing_class'
    | 'blame'
  >
>;

function act(
  store: RelationalStore<AlertsDatabase>,
  request: OperatorRequest & { readonly kind: OperatorActionKind },
  decide: (row: IncidentRow) => Change | undefined,
): Promise<void> {
  return store.transaction(async (trx) => {
    const before = await trx
      .selectFrom('alerts.incidents')
      .selectAll()
      .where('incident_id', '=', request.incidentId)
      .where('withdrawn', '=', false)
      .forUpdate()
      .executeTakeFirst();
    if (before === undefined) {
      throw new PoolmeterError('not_found', `There is no incident ${request.incidentId}.`);
    }
    const change = decide(before);
    if (change === undefined) return;
    const revision = await createRevisionSource(trx).take();
    // The next judgement compares itself with a digest that no content has, and writes the row again.
    const after: IncidentRow = { ...before, ...change, content_digest: 'changed by an operator', revision };
    await writeChange(trx, before, after);
    await record(trx, { request, before, after });
    await writeOutbox(trx, 'alerts', copyMessage(after));
  });
}

async function writeChange(trx: Trx, before: IncidentRow, after: IncidentRow): Promise<void> {
  await trx
    .updateTable('alerts.incidents')
    .set({
      acknowledged_at: after.acknowledged_at,
      status: after.status,
      cleared_at: after.cleared_at,
      reason: after.reason,
      classified_class: after.classified_class,
      classified_blame: after.classified_blame,
      billing_class: after.billing_class,
      blame: after.blame,
      content_digest: after.content_digest,
      revision: after.revision,
      updated_at: new Date(),
    })
    .where('incident_id', '=', before.incident_id)
    .execute();
  const touchesVerdicts =
    before.cleared_at !== after.cleared_at ||
    before.billing_class !== after.billing_class ||
    before.blame !== after.blame;
  if (!touchesVerdicts) return;
  const { billing_class, blame, revision } = after;
  await trx
    .updateTable('alerts.verdicts')
    .set({
      billing_class,
      blame,
      revision,
      ...(after.cleared_at === null ? {} : { ended_at: after.cleared_at }),
    })
    .where('incident_id', '=', before.incident_id)
    // A verdict that fell away stays empty.
    .where((is) => is.or([is('ended_at', 'is', null), is('ended_at', '>', is.ref('started_at'))]))
    .execute();
}

async function record(
  trx: Trx,
  of: {
    readonly request: OperatorRequest & { readonly kind: OperatorActionKind };
    readonly before: IncidentRow;
    readonly after: IncidentRow;
  },
): Promise<void> {
  const { request } = of;
  const facts = { before: factsOf(of.before), after: factsOf(of.after) };
  await trx
    .insertInto('alerts.operator_actions')
    .values({
      action_id: request.ids.next('act'),
      incident_id: request.incidentId,
      kind: request.kind,
      at: dateOf(request.at),
      actor: request.principal.tokenId,
      reason: request.reason,
      ...facts,
    })
    .execute();
  await writeAudit(trx, {
    at: request.at,
    principal: request.principal,
    action: `incident.${request.kind}`,
    objectKind: 'incident',
    objectId: request.incidentId,
    requestId: request.requestId,
    details: { reason: request.reason, ...facts },
  });
}

function factsOf(row: IncidentRow): Record<string, unknown> {
  const { code, status, billing_class, blame } = row;
  return { code, status, billing_class, blame, cleared_at_ms: row.cleared_at?.getTime() ?? null };
}
