export type {
  ActionOutcome,
  HeldShare,
  NodeState,
  PendingDemand,
  Scheduler,
  SchedulerAction,
  SchedulerGpu,
  SchedulerNode,
  SchedulerObservation,
} from './scheduler.js';
export { checkedObservation } from './check-observation.js';
export { createScheduler } from './create-scheduler.js';
export type { PoolContext } from './pool-context.js';
export { schedulerConfigSchema, type SchedulerConfig } from './scheduler-config.js';
export { createSimulatorScheduler, type SimulatorSchedulerOptions } from './simulator-scheduler.js';
export { isWebhookSignatureGood, webhookSignature, type SignedRequest } from './webhook-signature.js';
export { heldShareToJson, observationToJson } from './simulator-wire.js';
