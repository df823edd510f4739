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
export { mendLatest } from './mend/mend-latest.js';
export { mendRollups, type MendReport, type MendScope } from './mend/mend-rollups.js';
export { findMissingSamples, type SampleKey } from './mend/missing-samples.js';
export { backupTables, type BackedUpTables } from './backup/backup-tables.js';
export { expectEmptyTables, restoreTables } from './backup/restore-tables.js';
export {
  readMigrations,
  migrateMetricsStore,
  type AppliedMigration,
  type MigrateOptions,
} from './migrate.js';
export { applyReaderUser, type ReaderUser } from './reader-user.js';
export { applyRetention, type ChangedRetention, type RetentionDays } from './retention.js';
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
export { hourSignals, minuteSignals, xidsOfNode } from './queries/fault-signals.js';
export { peerSignals } from './queries/peer-signals.js';
