/** The pool in a few lines: what `status` prints once and `top` keeps on the screen. */
import { isPoolmeterError, type EpochMs } from '@poolmeter/domain';
import type { ApiClient } from './api-client.js';
import type { Row } from './printer.js';

export interface GpuRow extends Row {
  readonly gpu_uuid: string;
  readonly node: string;
  readonly state: string;
  readonly lease: Row | null;
  readonly latest: (Row & { readonly ts: string }) | null;
}

export interface Summary {
  readonly gpus: readonly GpuRow[];
  readonly gpusByState: Readonly<Record<string, number>>;
  readonly incidents: readonly Row[];
  readonly latestInvoice: Row | null;
  readonly lastDecision: Row | null;
  /** Time of the newest sample, and how old it is in milliseconds. */
  readonly newestSampleAt: string | null;
  readonly sampleAgeMs: number | null;
  /** What this token may not see. */
  readonly hidden: readonly string[];
}

interface Page {
  readonly data: readonly Row[];
}

const UNRESOLVED = ['open', 'acknowledged', 'verifying'];

export async function readSummary(client: ApiClient, now: EpochMs): Promise<Summary> {
  const hidden: string[] = [];
  const visible = (what: string, read: Promise<Row[]>) => unlessHidden(read, { what, hidden });
  const [gpus, incidents, invoices, decisions] = await Promise.all([
    visible('GPUs', all(client, '/v1/gpus', {})) as Promise<GpuRow[]>,
    visible('incidents', unresolved(client)),
    visible('invoices', first(client, '/v1/invoices')),
    visible('decisions', first(client, '/v1/decisions')),
  ]);
  const newest = newestOf(gpus);
  return {
    gpus,
    gpusByState: countBy(gpus.map((gpu) => gpu.state)),
    incidents,
    latestInvoice: invoices[0] ?? null,
    lastDecision: decisions[0] ?? null,
    newestSampleAt: newest ?? null,
    sampleAgeMs: newest === undefined ? null : now - Date.parse(newest),
    hidden,
  };
}

/** As `status --json` prints it. */
export function summaryToJson(summary: Summary): Row {
  return {
    gpus: { total: summary.gpus.length, by_state: summary.gpusByState },
    open_incidents: summary.incidents,
    latest_invoice: summary.latestInvoice,
    last_decision: summary.lastDecision,
    freshness: { newest_sample_at: summary.newestSampleAt, age_ms: summary.sampleAgeMs },
    not_visible_to_this_token: summary.hidden,
  };
}

async function unlessHidden(
  read: Promise<Row[]>,
  { what, hidden }: { what: string; hidden: string[] },
): Promise<Row[]> {
  try {
    return await read;
  } catch (fault) {
    if (!isPoolmeterError(fault) || fault.code !== 'forbidden') throw fault;
    hidden.push(what);
    return [];
  }
}

async function unresolved(client: ApiClient): Promise<Row[]> {
  const lists = await Promise.all(UNRESOLVED.map((status) => all(client, '/v1/incidents', { status })));
  return lists.flat().sort((a, b) => String(b['opened_at']).localeCompare(String(a['opened_at'])));
}

async function all(client: ApiClient, path: string, query: Readonly<Record<string, string>>): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of client.list<Row>(path, { ...query, limit: 1_000 })) rows.push(row);
  return rows;
}

async function first(client: ApiClient, path: string): Promise<Row[]> {
  return [...(await client.get<Page>(path, { limit: 1 })).data];
}

function newestOf(gpus: readonly GpuRow[]): string | undefined {
  const times = gpus.flatMap((gpu) => (gpu.latest === null ? [] : [gpu.latest.ts]));
  return times.sort((a, b) => Date.parse(a) - Date.parse(b)).at(-1);
}

function countBy(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
