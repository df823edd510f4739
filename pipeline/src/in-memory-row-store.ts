/** A metrics store for tests: keeps rows in memory and honours tokens as ClickHouse does. */
import { PoolmeterError } from '@poolmeter/domain';
import {
  checkSampleRows,
  decodeSampleRows,
  sampleSchemas,
  type GpuSample,
  type SampleSchema,
} from '@poolmeter/telemetry-schema';
import type { InsertRequest, MetricsStore } from '@poolmeter/metrics-store';

export interface InMemoryRowStore extends Pick<MetricsStore, 'insert'> {
  /** Every insert that was asked for, also those that a token made a no-op. */
  readonly requests: InsertRequest[];
  /** Rows by table. Samples are decoded, JSON rows are as they came. */
  rowsOf(table: string): readonly object[];
}

export function createInMemoryRowStore(schemas: readonly SampleSchema[] = sampleSchemas): InMemoryRowStore {
  const tokens = new Map<string, string>();
  const rows = new Map<string, object[]>();
  const requests: InsertRequest[] = [];
  return {
    requests,
    rowsOf: (table) => rows.get(table) ?? [],
    insert(request) {
      requests.push(request);
      const content = contentOf(request);
      const known = tokens.get(`${request.table} ${request.token}`);
      if (known !== undefined && known !== content) {
        return Promise.reject(
          new PoolmeterError('internal', `Token ${request.token} came with other bytes.`),
        );
      }
      if (known === undefined) {
        tokens.set(`${request.table} ${request.token}`, content);
        rows.set(request.table, [...(rows.get(request.table) ?? []), ...decode(request, schemas)]);
      }
      return Promise.resolve();
    },
  };
}

function contentOf(request: InsertRequest): string {
  return request.format === 'JSONEachRow'
    ? JSON.stringify(request.values)
    : bytesOf(request).toString('base64');
}

function bytesOf(request: InsertRequest): Buffer {
  if (request.format !== 'RowBinary')
    throw new PoolmeterError('wire.malformed', `The pipeline sends no ${request.format}.`);
  return Buffer.concat(request.values instanceof Uint8Array ? [request.values] : request.values);
}

function decode(request: InsertRequest, schemas: readonly SampleSchema[]): readonly object[] {
  if (request.format === 'JSONEachRow') return request.values;
  const bytes = bytesOf(request);
  const columns = JSON.stringify(request.columns);
  const schema = schemas.find(
    (one) => JSON.stringify(one.columns.map((column) => column.storedColumn)) === columns,
  );
  if (schema === undefined) {
    throw new PoolmeterError('wire.malformed', `${request.table} was sent other columns than a sample has.`);
  }
  return decodeAll(bytes, schema);
}

/** RowBinary does not say how many rows it has: they are walked until the bytes end, and then checked as a whole. */
function decodeAll(bytes: Buffer, schema: SampleSchema): GpuSample[] {
  let rowCount = 0;
  try {
    checkSampleRows(bytes, Number.MAX_SAFE_INTEGER, { schema, onRow: () => (rowCount += 1) });
  } catch {
    // The bytes ended, as they must; decodeSampleRows says whether they ended after a whole row.
  }
  return decodeSampleRows(bytes, rowCount, schema);
}
