/** Answers of `/v1/queries` as typed columns. */

export type Cell = number | string | null;

export interface Column {
  readonly name: string;
  /** Times are milliseconds since 1970, in `number`. */
  readonly kind: 'time' | 'number' | 'text';
  readonly values: readonly Cell[];
}

export interface Frame {
  readonly refId: string;
  readonly columns: readonly Column[];
  readonly rowCount: number;
}

export interface WireFrame {
  readonly ref_id: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

export function frameOf(wire: WireFrame): Frame {
  const columns = wire.columns.map(({ name, type }, index): Column => {
    const kind = kindOf(type);
    return { name, kind, values: wire.rows.map((row) => cellOf(row[index], kind)) };
  });
  return { refId: wire.ref_id, columns, rowCount: wire.rows.length };
}

/** The kind of a ClickHouse type. */
export function kindOf(type: string): Column['kind'] {
  const inner = type.replace(/^(?:LowCardinality|Nullable)\(/, '').replace(/^Nullable\(/, '');
  if (/^(?:DateTime|Date)/.test(inner)) return 'time';
  return /^(?:U?Int|Float|Decimal)/.test(inner) ? 'number' : 'text';
}

function cellOf(value: unknown, kind: Column['kind']): Cell {
  if (value === null || value === undefined) return null;
  if (kind === 'text') return typeof value === 'string' ? value : JSON.stringify(value);
  // A chart needs no more than 53 bits; exact amounts are read from the API, never from a picture.
  const number = kind === 'time' ? Date.parse(value as string) : Number(value);
  return Number.isFinite(number) ? number : null;
}
