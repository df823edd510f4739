export { autoscalerMigrations, type AutoscalerDatabase, type DecisionStatus } from './autoscaler-database.js';
export { createAutoscaler, type AutoscalerDeps } from './autoscaler.js';
export { backtestHtml, waitText } from './backtest/backtest-report.js';
export {
  builtInPolicies,
  builtInPolicy,
  classicSweep,
  parseBacktestPolicy,
} from './backtest/built-in-policies.js';
export { cutTrace, readJobTrace, traceOf, type JobTrace } from './backtest/job-trace.js';
export { simulatePool } from './backtest/simulate-pool.js';
export { sizerOf } from './backtest/size-by-policy.js';
export type { BacktestPolicy, BacktestPool } from './backtest/run-backtest.js';
export { runOnAllCores } from './backtest/spread-over-cores.js';
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
export { gpuUuidsByPlace } from './gpu-places.js';
export {
  defaultScalingPolicy,
  parseScalingPolicy,
  scalingPolicySchema,
  type ScalingPolicy,
} from './scaling-policy.js';
