/** A lease event as billing keeps it: what happened, when it happened, and when and in which order we learned of it. */
import { createHash } from 'node:crypto';
import {
  canonicalJson,
  formatFraction,
  formatInstant,
  parseFraction,
  parseInstant,
  PoolmeterError,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import type { LeaseEvent } from '@poolmeter/telemetry-schema';

export type PricingMode = 'on_demand' | 'reserved' | 'spot';

/** Who holds which share of which GPU, and on what terms. */
export interface LeaseColumns {
  readonly customerId: string;
  readonly providerId: string;
  readonly pool: string;
  readonly node: string;
  readonly gpuUuid: string;
  /** '' for the whole GPU, else `GI id/generation`. */
  readonly gpuInstance: string;
  /** A label: it changes on re-enumeration and is never a key. */
  readonly gpuIndex: number;
  readonly gpuModel: string;
  /** Of one GPU: 1, or a fraction such as 1/7. */
  readonly share: Fraction;
  readonly pricingMode: PricingMode;
  readonly project: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Where an event came from; `watcher-inferred` marks an end that no accounting confirmed. */
export type EventSource = 'api' | 'csv' | 'bus' | 'watcher' | 'watcher-inferred';

/** An event before it has a place in our records. */
export interface LeaseEventFacts {
  readonly eventId: string;
  readonly leaseId: string;
  readonly type: LeaseEvent['type'];
  readonly at: EpochMs;
  /** All columns of a `started`, the changed ones of an `amended`, none otherwise. */
  readonly columns: Partial<LeaseColumns>;
}

export interface RecordedLeaseEvent extends LeaseEventFacts {
  readonly recordedAt: EpochMs;
  /** Grows with every recorded event, in the order of their commits: the cut-off that invoices pin. */
  readonly position: bigint;
  readonly source: EventSource;
}

/** The names of the columns on the wire. */
const columnNames = {
  customerId: 'customer_id',
  providerId: 'provider_id',
  pool: 'pool',
  node: 'node',
  gpuUuid: 'gpu_uuid',
  gpuInstance: 'gpu_instance',
  gpuIndex: 'gpu_index',
  gpuModel: 'gpu_model',
  share: 'share',
  pricingMode: 'pricing_mode',
  project: 'project',
  labels: 'labels',
} as const satisfies Record<keyof LeaseColumns, string>;

const allColumnEntries = Object.entries(columnNames);
const columnEntries = allColumnEntries.filter(([field]) => field !== 'labels');

/** Reads an event that passed the wire schema. A share must be above 0 and at most 1. */
export function leaseEventFactsFrom(event: LeaseEvent): LeaseEventFacts {
  return {
    eventId: event.event_id,
    leaseId: event.lease_id,
    type: event.type,
    at: parseInstant(event.at),
    columns: event.type === 'started' || event.type === 'amended' ? leaseColumnsFrom(event) : {},
  };
}

export type ColumnsOnWire = Readonly<Record<string, unknown>>;

/** The columns that are present in a wire or stored form. */
export function leaseColumnsFrom(wire: ColumnsOnWire): Partial<LeaseColumns> {
  const columns: Record<string, unknown> = {};
  for (const [field, name] of allColumnEntries) {
    const value = wire[name];
    if (value !== undefined)
      columns[field] = typeof value === 'string' && field === 'share' ? parseShare(value) : value;
  }
  return columns;
}

/** The stored and wire form of the columns that are present; shares in lowest terms. */
export function leaseColumnsToWire(columns: Partial<LeaseColumns>): Record<string, unknown> {
  const entries = Object.entries(columnNames)
    .filter(([field]) => columns[field as keyof LeaseColumns] !== undefined)
    .map(([field, name]): [string, unknown] => {
      const value = columns[field as keyof LeaseColumns];
      return [name, field === 'share' ? formatFraction(value as Fraction) : value];
    });
  return Object.fromEntries(entries);
}

export function parseShare(text: string): Fraction {
  const share = parseFraction(text);
  if (share.numerator <= 0n || share.numerator > share.denominator) {
    throw new PoolmeterError(
      'input.invalid',
      `The share ${text} is outside of (0, 1]: write 1 or a fraction such as 1/7.`,
    );
  }
  return share;
}

/** The event as the API answers it: the input's form and `recorded_at`. */
export function recordedLeaseEventToJson(event: RecordedLeaseEvent): Record<string, unknown> {
  return {
    event_id: event.eventId,
    type: event.type,
    lease_id: event.leaseId,
    at: formatInstant(event.at),
    ...leaseColumnsToWire(event.columns),
    recorded_at: formatInstant(event.recordedAt),
    source: event.source,
  };
}

/** Two events with one id must say the same; this is what they are compared by. */
export function sameFacts(a: LeaseEventFacts, b: LeaseEventFacts): boolean {
  return canonicalJson(factsOf(a)) === canonicalJson(factsOf(b));
}

function factsOf(event: LeaseEventFacts): Record<string, unknown> {
  return {
    event_id: event.eventId,
    lease_id: event.leaseId,
    type: event.type,
    at: event.at,
    ...leaseColumnsToWire(event.columns),
  };
}

/** The digest of a set of events, whatever order they come in. There may be many, so their texts are hashed together. */
export function digestOfEvents(events: readonly RecordedLeaseEvent[]): string {
  const digest = createHash('sha256');
  const unique = new Map(events.map((event) => [event.position, event]));
  let text = '';
  for (const event of [...unique.values()].sort((a, b) => (a.position < b.position ? -1 : 1))) {
    text += `${textOfEvent(event)}\n`;
    if (text.length < HASHED_TOGETHER) continue;
    digest.update(text);
    text = '';
  }
  return digest.update(text).digest('hex');
}

const HASHED_TOGETHER = 100_000;

function textOfEvent(event: RecordedLeaseEvent): string {
  const { labels = {}, ...columns } = event.columns;
  const facts = [event.position.toString(), event.eventId, event.leaseId, event.type, event.at];
  const values: [string, unknown][] = [];
  for (const [field, name] of columnEntries) {
    const value = columns[field as keyof typeof columns];
    if (value !== undefined)
      values.push([name, field === 'share' ? formatFraction(value as Fraction) : value]);
  }
  const sortedLabels = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([...facts, values, sortedLabels]);
}
