export {
  checkSampleRows,
  createTextLocator,
  decodeSampleRows,
  storedRowAt,
  type TextPlace,
} from './decode-samples.js';
export { decodeGpuEvent, encodeGpuEvent, GPU_EVENT_SCHEMA_VERSION } from './encode-event.js';
export { encodeSampleRows, type EncodeSamplesOptions } from './encode-samples.js';
export { gpuEventKinds, type GpuEvent, type GpuEventKind } from './gpu-event.js';
export { rowRemapBits, sampleFlags, type GpuSample } from './gpu-sample.js';
export { leaseEventSchema, type LeaseEvent } from './lease-event.js';
export { sampleColumnsV1, type SampleColumn, type StoredType } from './sample-columns.js';
export {
  decodeSampleBatchHeader,
  encodeSampleBatch,
  encodeSampleBatchOfRows,
  readSampleBatchHeader,
  type SampleBatch,
  type SampleBatchHeader,
} from './sample-batch.js';
export { nodeMatches } from './node-pattern.js';
export { replaceText } from './replace-text.js';
export { SAMPLE_SCHEMA_VERSION, sampleSchemas, sampleSchemaV1, type SampleSchema } from './sample-schemas.js';
export { roundingLoss, storedRange, storedValue, unitValue, type StoredRange } from './stored-value.js';
export {
  messageHeaders,
  messageHeadersFor,
  parseAgentTopic,
  topicOfProvider,
  topics,
  type AgentTopic,
  type MessageOrigin,
  type TopicName,
} from './topics.js';
