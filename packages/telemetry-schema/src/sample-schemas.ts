import { PoolmeterError } from '@poolmeter/domain';
import { sampleColumnsV1, type SampleColumn } from './sample-columns.js';

/** One version of a sample row: its columns in wire order. A published version never changes. */
export interface SampleSchema {
  readonly version: number;
  readonly columns: readonly SampleColumn[];
}

export const sampleSchemaV1: SampleSchema = { version: 1, columns: sampleColumnsV1 };

/**
 * The versions that readers understand: what agents send now, and the one before, so that pipelines are upgraded
 * first and agents afterwards. Agents write SAMPLE_SCHEMA_VERSION.
 */
export const sampleSchemas: readonly SampleSchema[] = [sampleSchemaV1];

/** The version that agents write. */
export const SAMPLE_SCHEMA_VERSION = sampleSchemaV1.version;

/** The schema of a version; `wire.unknown_schema` for one that is not among them. */
export function sampleSchemaOf(version: number, schemas: readonly SampleSchema[]): SampleSchema {
  const schema = schemas.find((one) => one.version === version);
  if (schema !== undefined) return schema;
  const known = schemas.map((one) => one.version);
  throw new PoolmeterError(
    'wire.unknown_schema',
    `Sample schema version ${version} is not known here, only ${known.join(' and ')}: upgrade the reader first.`,
    { details: { schemaVersion: version, known } },
  );
}
