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
export { createScheduler, schedulerConfigSchema, type SchedulerConfig } from './create-scheduler.js';
export { createSimulatorScheduler, type SimulatorSchedulerOptions } from './simulator-scheduler.js';
export { heldShareToJson, observationToJson } from './simulator-wire.js';
