export { autoscalerMigrations, type AutoscalerDatabase, type DecisionStatus } from './autoscaler-database.js';
export { createAutoscaler, type AutoscalerDeps } from './autoscaler.js';
export {
  AUTOSCALER_PREFIX,
  autoscalerConfigSchema,
  loadAutoscalerConfig,
  type AutoscalerConfig,
} from './config.js';
export type { DecisionView } from './decision-row.js';
export type { AutoscalerStore } from './decision-store.js';
export { evaluate, type Evaluation } from './evaluate.js';
export { explainDecision } from './explain-decision.js';
export type { Mode, PoolObservation } from './observation.js';
export { loadPools, poolForNode, poolsFileSchema, type Pool } from './pools-file.js';
export { replayDecision, type Replay } from './replay-decision.js';
export type { AutoscalerRoutesDeps } from './routes-deps.js';
export { autoscalerRoutes } from './routes.js';
export { runAutoscaler, type DecisionBus, type RunAutoscalerOptions } from './run-autoscaler.js';
export { poolActivityQuery } from './sample-reader.js';
export {
  defaultScalingPolicy,
  parseScalingPolicy,
  scalingPolicySchema,
  type ScalingPolicy,
} from './scaling-policy.js';
