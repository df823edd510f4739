import { sampleColumnsV1 } from '@poolmeter/telemetry-schema';

/** The tables of the database, by what they hold; docs/data-model.md describes their columns. */
export const tables = {
  gpuSamples: 'gpu_samples',
  gpuSamplesByMinute: 'gpu_samples_1m',
  gpuSamplesByHour: 'gpu_samples_1h',
  gpuLatest: 'gpu_latest',
  gpuEvents: 'gpu_events',
  /** The door for samples: rows within range go on to gpu_samples and its rollups, the others to ingest_rejects. */
  gpuSamplesIn: 'gpu_samples_in',
  /** The door to minutes and hours: what is selected from gpu_samples into it is rolled up again. */
  gpuRollupsIn: 'gpu_rollups_in',
  ingestRejects: 'ingest_rejects',
  leases: 'leases',
  incidents: 'incidents',
  billableIntervals: 'billable_intervals',
  scalingDecisions: 'scaling_decisions',
  schemaMigrations: 'schema_migrations',
} as const;

export type TableName = (typeof tables)[keyof typeof tables];

/** Where the rows of a sample batch are inserted as they came: RowBinary, columns in wire order. */
export const gpuSamplesInsert = {
  table: tables.gpuSamplesIn,
  columns: sampleColumnsV1.map((column) => column.storedColumn),
  format: 'RowBinary',
} as const;
