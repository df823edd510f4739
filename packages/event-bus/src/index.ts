export type {
  Assignment,
  BusMessage,
  CommittedPosition,
  EventBus,
  MessageBatch,
  OffsetGap,
  PartitionLag,
  PartitionRange,
  StoredMessage,
  SubscribeOptions,
  Subscription,
  TopicSpec,
} from './event-bus.js';
export { createLogBus, type LogBusOptions } from './log-bus.js';
export type { Retention } from './log-store.js';
export { MESSAGE_BYTES_MAX } from './message-limits.js';
export {
  createSpool,
  type Spool,
  type SpooledEntry,
  type SpoolEntry,
  type SpoolOptions,
  type SpoolState,
} from './spool.js';
export { createKafkaBus, type KafkaBusOptions } from './kafka-bus.js';
export type { KafkaConnection } from './kafka-client.js';
export type { KafkaCompression } from './kafka-publisher.js';
export { busSettings, openBus, type BusSettings, type OpenBusOptions } from './open-bus.js';
