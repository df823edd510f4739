/** What has to be told to a channel now: a comparison of what is with what was told. Pure. */
import type { EpochMs } from '@poolmeter/domain';
import type { Severity } from '../policy/fault-policy.js';
import type { Channel } from './channels.js';

/** What is told of an incident, in the names of its columns. */
export interface TellableIncident {
  readonly incident_id: string;
  readonly code: string;
  readonly severity: Severity;
  readonly pool: string;
  readonly node: string;
  readonly provider_id: string;
  readonly blame: string;
  readonly opened_at: Date;
  /** Null while it is not over; a withdrawn incident is over. */
  readonly cleared_at: Date | null;
}

export interface Told {
  readonly incident_id: string;
  readonly state: 'firing' | 'resolved';
  readonly severity: Severity;
}

export interface Silence {
  readonly matches: Readonly<Partial<Record<string, readonly string[]>>>;
  readonly starts_at: Date;
  readonly ends_at: Date;
}

export interface NotificationItem {
  readonly incident_id: string;
  readonly state: 'firing' | 'resolved';
  readonly severity: Severity;
}

export interface PlannedGroup {
  readonly groupKey: string;
  readonly items: readonly NotificationItem[];
}

export interface NotificationState {
  readonly now: EpochMs;
  readonly incidents: readonly TellableIncident[];
  /** By incident: what this channel was told. */
  readonly told: ReadonlyMap<string, Told>;
  readonly silences: readonly Silence[];
}

const ranks: Readonly<Record<Severity, number>> = { info: 0, warn: 1, critical: 2, fatal: 3 };
/** An incident that came and went unseen is told, unless it is history that was read in. */
const MISSED_REACH_MS = 3_600_000;

/** Groups in the order of their names; in each, incidents in the order in which they opened. */
export function planNotifications(channel: Channel, state: NotificationState): PlannedGroup[] {
  const groups = new Map<string, NotificationItem[]>();
  const sorted = [...state.incidents].sort(
    (a, b) => a.opened_at.getTime() - b.opened_at.getTime() || (a.incident_id < b.incident_id ? -1 : 1),
  );
  for (const incident of sorted) {
    const item = itemOf(incident, { channel, state });
    if (item === undefined) continue;
    const key = groupKeyOf(incident, channel);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([groupKey, items]) => ({ groupKey, items }));
}

function itemOf(
  incident: TellableIncident,
  of: { readonly channel: Channel; readonly state: NotificationState },
): NotificationItem | undefined {
  const { state } = of;
  const told = state.told.get(incident.incident_id);
  const item = { incident_id: incident.incident_id, severity: incident.severity };
  if (incident.cleared_at !== null) {
    // Whoever was told that it burns is told that it is out, whatever silences say by now.
    if (told?.state === 'firing') return { ...item, state: 'resolved' };
    const isRecent = state.now - incident.cleared_at.getTime() < MISSED_REACH_MS;
    const isMissed = told === undefined && isRecent && ranks[incident.severity] >= ranks.critical;
    return isMissed && isWanted(incident, of) ? { ...item, state: 'resolved' } : undefined;
  }
  const isNew = told?.state !== 'firing';
  const isWorse = told?.state === 'firing' && ranks[incident.severity] > ranks[told.severity];
  return (isNew || isWorse) && isWanted(incident, of) ? { ...item, state: 'firing' } : undefined;
}

function isWanted(
  incident: TellableIncident,
  { channel, state }: { readonly channel: Channel; readonly state: NotificationState },
): boolean {
  if (ranks[incident.severity] < ranks[channel.min_severity]) return false;
  if (!fits(channel.match, incident)) return false;
  const silenced = state.silences.some(
    (one) =>
      one.starts_at.getTime() <= state.now &&
      state.now < one.ends_at.getTime() &&
      fits(one.matches, incident),
  );
  return !silenced && !isQuiet(incident, { channel, now: state.now });
}

function fits(
  wanted: Readonly<Partial<Record<string, readonly string[]>>>,
  incident: TellableIncident,
): boolean {
  const columns: Readonly<Record<string, unknown>> = { ...incident };
  return Object.entries(wanted).every(
    ([name, values]) => values?.some((value) => value === columns[name]) ?? true,
  );
}

function isQuiet(
  incident: TellableIncident,
  at: { readonly channel: Channel; readonly now: EpochMs },
): boolean {
  const quiet = at.channel.quiet_hours;
  if (quiet === undefined || ranks[incident.severity] >= ranks[quiet.except_severity]) return false;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: quiet.zone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const time = format.format(at.now);
  return quiet.from <= quiet.to
    ? time >= quiet.from && time < quiet.to
    : time >= quiet.from || time < quiet.to;
}

function groupKeyOf(incident: TellableIncident, channel: Channel): string {
  return channel.group_by.map((name) => `${name}=${incident[name]}`).join(' ');
}
