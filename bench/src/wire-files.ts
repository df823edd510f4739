/** Files of sample rows as they travel, read by ClickHouse itself: the fastest way into its tables. */
import { sampleColumnsV1 } from '@poolmeter/telemetry-schema';

const WIRE = sampleColumnsV1.map(({ storedColumn, type }) => ({
  name: storedColumn,
  type: type === 'DateTime64(3)' ? "DateTime64(3, 'UTC')" : type,
}));

export const WIRE_COLUMNS: readonly string[] = WIRE.map(({ name }) => name);
export const WIRE_NAMES = WIRE_COLUMNS.join(', ');
export const WIRE_STRUCTURE = WIRE.map(({ name, type }) => `${name} ${type}`).join(', ');

/** One block per insert, as our pipeline's inserts have it. */
export const FILE_INSERT_SETTINGS = { optimize_on_insert: 0, max_block_size: 1_048_449 } as const;

/** The rows of one file, for a FROM. */
export function rowsOfFile(path: string): string {
  return `file('${path}', 'RowBinary', '${WIRE_STRUCTURE.replaceAll("'", "\\'")}')`;
}
