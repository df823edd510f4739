/** A leases CSV becomes events: only what is not known yet, so that importing a file twice changes nothing. */
import { canonicalJson, idFromFacts, type Clock } from '@poolmeter/domain';
import { toCsv } from '@poolmeter/http-api';
import type { BillingStore, BillingTransaction } from '../database.js';
import type { CreatedParties } from '../customers/parties.js';
import { findOverlaps, type ShareHolding } from './find-overlaps.js';
import { foldLeases, type Lease } from './fold-leases.js';
import { readEventsById, readEventsOfLeases, readHoldings } from './lease-store.js';
import { parseLeasesCsv, type BadRow, type LeaseRow, type LeasesCsv } from './leases-csv.js';
import { lockLeaseWriters, overlapFault, recordLeaseEventsIn } from './record-lease-events.js';
import { leaseColumnsToWire, type LeaseColumns, type LeaseEventFacts } from './recorded-lease-event.js';

export interface ImportOptions {
  readonly clock: Clock;
  /** Import the good rows although there are bad ones. */
  readonly skipBadRows: boolean;
}

export interface ImportResult {
  /** False when bad rows kept the whole file out. */
  readonly done: boolean;
  readonly imported: number;
  readonly unchanged: number;
  readonly rejected: readonly { readonly line: number; readonly reason: string }[];
  /** The rejected rows with the file's header and a `reason` column, ready to be mended and imported. */
  readonly rejectedCsv: string;
  readonly createdCustomers: readonly string[];
  readonly createdProviders: readonly string[];
}

export function importLeases(
  store: BillingStore,
  text: string,
  options: ImportOptions,
): Promise<ImportResult> {
  const file = parseLeasesCsv(text);
  return store.transaction((trx) => importIn(trx, file, options), { isolation: 'read committed' });
}

async function importIn(
  trx: BillingTransaction,
  file: LeasesCsv,
  options: ImportOptions,
): Promise<ImportResult> {
  await lockLeaseWriters(trx);
  const known = await readKnown(trx, file.rows);
  const fitting = await withoutOverlaps(trx, file.rows, known);
  const badRows = [...file.badRows, ...fitting.badRows].toSorted((a, b) => a.line - b.line);
  if (badRows.length > 0 && !options.skipBadRows) return resultOf(file, badRows, { done: false });
  const planned = fitting.rows.map((row) => eventsOfRow(row, known.get(row.leaseId)));
  const events = planned.flat();
  const recorded = new Set(
    (
      await readEventsById(
        trx,
        events.map((event) => event.eventId),
      )
    ).map((one) => one.eventId),
  );
  const changing = planned.filter((own) => own.some((event) => !recorded.has(event.eventId)));
  const batch = await recordLeaseEventsIn(trx, events, {
    clock: options.clock,
    source: 'csv',
    onOverlap: 'refuse',
    onUnknownLease: 'refuse',
  });
  return resultOf(file, badRows, {
    done: true,
    imported: changing.length,
    unchanged: fitting.rows.length - changing.length,
    created: batch.created,
  });
}

interface ImportCounts {
  readonly done: boolean;
  readonly imported?: number;
  readonly unchanged?: number;
  readonly created?: CreatedParties;
}

function resultOf(file: LeasesCsv, badRows: readonly BadRow[], counts: ImportCounts): ImportResult {
  const names = [...file.header, 'reason'];
  const rejected = badRows.map(({ cells, reason }) =>
    Object.fromEntries(
      names.map((name, index) => [name, index === names.length - 1 ? reason : (cells[index] ?? '')]),
    ),
  );
  return {
    done: counts.done,
    imported: counts.imported ?? 0,
    unchanged: counts.unchanged ?? 0,
    rejected: badRows.map(({ line, reason }) => ({ line, reason })),
    rejectedCsv: badRows.length === 0 ? '' : toCsv(rejected, names),
    createdCustomers: counts.created?.customers ?? [],
    createdProviders: counts.created?.providers ?? [],
  };
}

async function readKnown(trx: BillingTransaction, rows: readonly LeaseRow[]): Promise<Map<string, Lease>> {
  const ids = rows.map((row) => row.leaseId);
  return new Map(foldLeases(await readEventsOfLeases(trx, ids)).map((lease) => [lease.leaseId, lease]));
}

/** Nothing for a row that says what is known already. */
function eventsOfRow(row: LeaseRow, known: Lease | undefined): LeaseEventFacts[] {
  const started = startedEvent(row);
  const ended = row.end === undefined ? [] : [endedEvent(row)];
  if (known === undefined) return [started, ...ended];
  const start = known.segments[0];
  const last = known.segments.at(-1);
  if (start === undefined || last === undefined) return [started, ...ended];
  const sameTerms =
    start.start === row.start && [start, last].some((segment) => sameColumns(segment, row.columns));
  const sameEnd = row.end === undefined || last.end === row.end;
  return [...(sameTerms ? [] : [started]), ...(sameEnd ? [] : ended)];
}

function sameColumns(a: LeaseColumns, b: LeaseColumns): boolean {
  return canonicalJson(leaseColumnsToWire(a)) === canonicalJson(leaseColumnsToWire(b));
}

function startedEvent(row: LeaseRow): LeaseEventFacts {
  const facts = canonicalJson(leaseColumnsToWire(row.columns));
  const eventId = idFromFacts('lev', 'csv', 'started', row.leaseId, row.start, facts);
  return { eventId, leaseId: row.leaseId, type: 'started', at: row.start, columns: row.columns };
}

function endedEvent(row: LeaseRow): LeaseEventFacts {
  const at = row.end as NonNullable<LeaseRow['end']>;
  const eventId = idFromFacts('lev', 'csv', 'ended', row.leaseId, at);
  return { eventId, leaseId: row.leaseId, type: 'ended', at, columns: {} };
}

/** Rows that do not fit beside the leases that are there, or beside earlier rows of the file, are bad rows. */
async function withoutOverlaps(
  trx: BillingTransaction,
  rows: readonly LeaseRow[],
  known: ReadonlyMap<string, Lease>,
): Promise<{ rows: readonly LeaseRow[]; badRows: BadRow[] }> {
  const inFile = new Map(rows.map((row) => [row.leaseId, row]));
  const gpus = [...new Set(rows.map((row) => row.columns.gpuUuid))];
  const others = (await readHoldings(trx, gpus)).filter((holding) => !inFile.has(holding.leaseId));
  const wanted = rows.map((row): ShareHolding => ({
    leaseId: row.leaseId,
    gpuUuid: row.columns.gpuUuid,
    gpuInstance: row.columns.gpuInstance,
    share: row.columns.share,
    start: row.start,
    end: row.end ?? known.get(row.leaseId)?.segments.at(-1)?.end,
    rank: known.get(row.leaseId)?.firstPosition ?? BEYOND_ALL_POSITIONS + BigInt(row.line),
  }));
  const overlaps = findOverlaps([...others, ...wanted]).filter((one) => inFile.has(one.leaseId));
  const refused = new Map(overlaps.map((one) => [one.leaseId, one]));
  const badRows = overlaps.map((overlap): BadRow => {
    const row = inFile.get(overlap.leaseId) as LeaseRow;
    return { line: row.line, reason: overlapFault(overlap).message.replace(/\.$/, ''), cells: row.cells };
  });
  return { rows: rows.filter((row) => !refused.has(row.leaseId)), badRows };
}

/** Leases of the file come after those that are recorded, in the order of their lines. */
const BEYOND_ALL_POSITIONS = 1n << 62n;
