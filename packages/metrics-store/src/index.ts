export { column } from './column.js';
export { defineQuery, type QueryDefinition, type QueryParams, type QueryRow } from './define-query.js';
export {
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type EmbeddedClickHouseOptions,
} from './embedded-clickhouse.js';
export {
  openMetricsStore,
  type MetricsStore,
  type MetricsStoreOptions,
  type RequestOptions,
  type SelectedRows,
  type SelectOptions,
} from './metrics-store.js';
export { type InsertRequest, type StoreSettings } from './insert-body.js';
export { migrateMetricsStore, type AppliedMigration } from './migrate.js';
export { gpuSamplesInsert, tables, type TableName } from './tables.js';
export { eventsSince } from './queries/events-since.js';
export { evidenceEnergy } from './queries/evidence-energy.js';
export { evidenceQualityByMinute } from './queries/evidence-quality-by-minute.js';
export { evidenceQuality } from './queries/evidence-quality.js';
export { fleetUtilisation } from './queries/fleet-utilisation.js';
export { gpuList } from './queries/gpu-list.js';
export {
  readGpuSamples,
  sampleTableFor,
  stepSecondsFor,
  type GpuSamplesRequest,
} from './queries/gpu-samples.js';
export { gpuWindow } from './queries/gpu-window.js';
export { type LatestSample } from './queries/latest-sample.js';
export { nodeLastSeen } from './queries/node-last-seen.js';
export { type SamplePoint } from './queries/sample-point.js';
export { samplesSince } from './queries/samples-since.js';
export {
  eventsAfterPositions,
  eventsOfNode,
  gpusLastSeen,
  newestEventPositions,
  sampleCountsOfNode,
  sampleFingerprints,
  sampleStretchesOfNode,
  signalStretches,
} from './queries/fault-evidence.js';
