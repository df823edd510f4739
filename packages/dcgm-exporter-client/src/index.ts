export { isBlank, isBlankText } from './blank-value.js';
export {
  fetchMetrics,
  MetricsFetchError,
  type FetchFaultReason,
  type FetchMetricsOptions,
} from './fetch-metrics.js';
export { dcgmFields, fieldOfId, fieldOfMetric, type DcgmField, type FieldUnit } from './field-catalogue.js';
export type { Attribution, GpuReading } from './gpu-reading.js';
export { parseMetrics, type ParsedMetrics, type ParseFault, type ParseFaultReason } from './parse-metrics.js';
