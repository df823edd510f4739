export {
  createCollector,
  type CollectorOptions,
  type CollectorSettings,
  type KernelLogTarget,
} from './collector.js';
export {
  COLLECTOR_PREFIX,
  collectorConfigSchema,
  loadCollectorConfig,
  type CollectorProcessConfig,
} from './config.js';
export { driverMessageOf, type DriverMessage } from './driver-message.js';
export { agentEventIdentity, type EventIdentity } from './event-identity.js';
export {
  FRESH_KERNEL_LOG,
  KernelLogEvents,
  type KernelLogOptions,
  type KernelLogState,
} from './kernel-log-events.js';
export { parseKernelLine, type KernelLine, type LineStamp } from './kernel-line.js';
export {
  createMessageProducer,
  eventMessages,
  publishEvents,
  publishSamples,
  sampleMessages,
  type MessageProducer,
  type PublishOptions,
} from './messages.js';
export { normalPciBusId } from './pci-bus-id.js';
export { collectorSettings, runCollector, type RunCollectorOptions } from './run-collector.js';
export {
  createSampleBuilder,
  type BuiltSamples,
  type SampleBuilder,
  type SampleBuilderOptions,
  type ScrapeTimes,
} from './sample-builder.js';
export { sampleFromReading, type SampleContext } from './sample-from-reading.js';
export type { ScrapeTarget } from './scrape-source.js';
