/** The leases CSV of imports and exports: one row per lease, any column order, extra columns are labels. */
import { formatInstant, instantFromMs, messageOf, parseInstant, type EpochMs } from '@poolmeter/domain';
import { toCsv } from '@poolmeter/http-api';
import { CsvError, parse } from 'csv-parse/sync';
import {
  leaseColumnsToWire,
  parseShare,
  type LeaseColumns,
  type PricingMode,
} from './recorded-lease-event.js';

/** The columns of the file in the order of an export. `gpu_instance` is optional on the way in. */
const leaseCsvColumns = [
  'lease_id',
  'customer_id',
  'provider_id',
  'pool',
  'node',
  'gpu_uuid',
  'gpu_index',
  'gpu_model',
  'share',
  'started_at',
  'ended_at',
  'pricing_mode',
  'project',
  'gpu_instance',
] as const;

const REQUIRED = ['lease_id', 'customer_id', 'provider_id', 'pool', 'node', 'gpu_uuid', 'gpu_model'] as const;
const PRICING_MODES: readonly string[] = ['on_demand', 'reserved', 'spot'];
const MAX_ID_LENGTH = 200;

/** A lease as one row tells it: its whole history in a start and, when it is over, an end. */
export interface LeaseRow {
  readonly line: number;
  readonly leaseId: string;
  readonly columns: LeaseColumns;
  readonly start: EpochMs;
  readonly end: EpochMs | undefined;
  /** As they stand in the file. */
  readonly cells: readonly string[];
}

/** A row that cannot be imported, with its line in the file, its text for a rejects file, and every reason. */
export interface BadRow {
  readonly line: number;
  readonly reason: string;
  readonly cells: readonly string[];
}

export interface LeasesCsv {
  readonly header: readonly string[];
  readonly rows: readonly LeaseRow[];
  readonly badRows: readonly BadRow[];
}

/** Reads a whole file. Nothing is guessed: what cannot be read is a bad row with its reason. */
export function parseLeasesCsv(text: string): LeasesCsv {
  const lines = readLines(text);
  if (!Array.isArray(lines)) return { header: [], rows: [], badRows: [lines] };
  const [first, ...rest] = lines;
  if (first === undefined) {
    const reason = 'the file is empty: its first line must name the columns';
    return { header: [], rows: [], badRows: [{ line: 1, reason, cells: [] }] };
  }
  const header = first.cells.map((cell) => cell.trim());
  const fault = headerFault(header);
  if (fault !== undefined)
    return { header, rows: [], badRows: [{ line: first.line, reason: fault, cells: header }] };
  return { header, ...readRows(header, rest) };
}

interface CsvLine {
  readonly line: number;
  readonly cells: readonly string[];
}

function readLines(text: string): CsvLine[] | BadRow {
  try {
    const records = parse(text, {
      bom: true,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
    }) as unknown as { record: string[]; info: { lines: number } }[];
    return records.map(({ record, info }) => ({ line: info.lines, cells: record }));
  } catch (fault) {
    if (!(fault instanceof CsvError)) throw fault;
    const line = typeof fault['lines'] === 'number' ? fault['lines'] : 1;
    return { line, reason: `not CSV: ${fault.message}`, cells: [] };
  }
}

function headerFault(header: readonly string[]): string | undefined {
  const missing = [...REQUIRED, 'started_at'].filter((name) => !header.includes(name));
  if (missing.length > 0) return `the header lacks ${missing.join(', ')}`;
  const repeated = header.find((name, index) => header.indexOf(name) !== index);
  return repeated === undefined ? undefined : `the header names ${repeated} twice`;
}

function readRows(header: readonly string[], lines: readonly CsvLine[]): Omit<LeasesCsv, 'header'> {
  const rows = new Map<string, LeaseRow>();
  const badRows: BadRow[] = [];
  for (const line of lines) {
    const read = readRow(header, line);
    if ('reason' in read) {
      badRows.push(read);
      continue;
    }
    const earlier = rows.get(read.leaseId);
    if (earlier === undefined) rows.set(read.leaseId, read);
    else if (!sameLease(earlier, read)) {
      const reason = `lease_id ${read.leaseId} stands on line ${earlier.line} already, with other values`;
      badRows.push({ ...line, reason });
    }
  }
  return { rows: [...rows.values()], badRows };
}

function readRow(header: readonly string[], line: CsvLine): LeaseRow | BadRow {
  if (line.cells.length !== header.length) {
    const reason = `has ${line.cells.length} cells where the header has ${header.length}`;
    return { ...line, reason };
  }
  const cells = Object.fromEntries(header.map((name, index) => [name, unescaped(line.cells[index] ?? '')]));
  const faults: string[] = [];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (fault) {
      faults.push(messageOf(fault).replace(/\.$/, ''));
      return undefined;
    }
  };
  const start = attempt(() => readInstant(cells['started_at'] ?? '', 'started_at'));
  const end = attempt(() =>
    (cells['ended_at'] ?? '') === '' ? undefined : readInstant(cells['ended_at'] ?? '', 'ended_at'),
  );
  const share = attempt(() =>
    parseShare(cells['share'] === undefined || cells['share'] === '' ? '1' : cells['share']),
  );
  faults.push(...textFaults(cells));
  if (start !== undefined && end !== undefined && end < start) faults.push('ended_at is before started_at');
  if (faults.length > 0 || start === undefined || share === undefined)
    return { ...line, reason: faults.join('; ') };
  const columns = { ...textColumns(cells), share };
  return { ...line, leaseId: cells['lease_id'] ?? '', columns, start, end };
}

function textFaults(cells: Readonly<Record<string, string>>): string[] {
  const empty = REQUIRED.filter((name) => (cells[name] ?? '') === '').map((name) => `${name} is empty`);
  const long = REQUIRED.filter((name) => (cells[name] ?? '').length > MAX_ID_LENGTH).map(
    (name) => `${name} is longer than ${MAX_ID_LENGTH} characters`,
  );
  const mode = cells['pricing_mode'] ?? '';
  const wrongMode =
    mode === '' || PRICING_MODES.includes(mode)
      ? []
      : [`pricing_mode "${mode}" is none of ${PRICING_MODES.join(', ')}`];
  const index = cells['gpu_index'] ?? '';
  const wrongIndex =
    index === '' || (/^\d{1,3}$/.test(index) && Number(index) <= 255)
      ? []
      : [`gpu_index "${index}" is not a whole number from 0 to 255`];
  return [...empty, ...long, ...wrongMode, ...wrongIndex];
}

function textColumns(cells: Readonly<Record<string, string>>): Omit<LeaseColumns, 'share'> {
  const known: readonly string[] = leaseCsvColumns;
  const labels = Object.entries(cells).filter(([name, value]) => !known.includes(name) && value !== '');
  return {
    customerId: cells['customer_id'] ?? '',
    providerId: cells['provider_id'] ?? '',
    pool: cells['pool'] ?? '',
    node: cells['node'] ?? '',
    gpuUuid: cells['gpu_uuid'] ?? '',
    gpuInstance: cells['gpu_instance'] ?? '',
    gpuIndex: Number(cells['gpu_index'] ?? '0'),
    gpuModel: cells['gpu_model'] ?? '',
    pricingMode: (cells['pricing_mode'] === undefined || cells['pricing_mode'] === ''
      ? 'on_demand'
      : cells['pricing_mode']) as PricingMode,
    project: cells['project'] ?? '',
    labels: Object.fromEntries(labels),
  };
}

/** RFC 3339, or whole epoch milliseconds. */
function readInstant(text: string, column: string): EpochMs {
  if (text === '') throw new Error(`${column} is empty`);
  if (/^-?\d{1,16}$/.test(text)) return instantFromMs(Number(text));
  try {
    return parseInstant(text);
  } catch (fault) {
    throw new Error(`${column} ${messageOf(fault)}`, { cause: fault });
  }
}

/** An export puts an apostrophe before what a spreadsheet would run; it is no part of the value. */
function unescaped(cell: string): string {
  const text = cell.trim();
  return /^'[=+\-@\t\r]/.test(text) ? text.slice(1) : text;
}

function sameLease(a: LeaseRow, b: LeaseRow): boolean {
  return (
    a.start === b.start &&
    a.end === b.end &&
    JSON.stringify(leaseColumnsToWire(a.columns)) === JSON.stringify(leaseColumnsToWire(b.columns))
  );
}

/** Leases as the file that an import reads back. A lease that was amended is shown with its last columns. */
export function leasesToCsv(leases: readonly Omit<LeaseRow, 'line' | 'cells'>[]): string {
  const labels = [...new Set(leases.flatMap((lease) => Object.keys(lease.columns.labels)))].sort();
  const rows = leases.map(({ leaseId, columns, start, end }) => {
    const { labels: own, ...wire } = leaseColumnsToWire(columns);
    return {
      ...(own as Record<string, string>),
      ...wire,
      lease_id: leaseId,
      started_at: formatInstant(start),
      ended_at: end === undefined ? '' : formatInstant(end),
    };
  });
  return toCsv(rows, [...leaseCsvColumns, ...labels]);
}
