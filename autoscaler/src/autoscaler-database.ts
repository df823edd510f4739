/** The tables of the schema `autoscaler`, and the published views of others that it reads. */
import type { MigrationSet } from '@poolmeter/relational-store';
import type { Generated } from 'kysely';
import type { Forecast } from './forecast.js';
import type { Mode } from './observation.js';
import type { Action, GuardHit, Reason, Rejection, Target } from './proposal.js';
import type { PlanStep } from './plan-step.js';
import type { ScalingPolicy } from './scaling-policy.js';

export const decisionStatuses = [
  'none',
  'recommended',
  'held',
  'approved',
  'acting',
  'done',
  'failed',
  'refused',
  'superseded',
] as const;
export type DecisionStatus = (typeof decisionStatuses)[number];

/** What became of a decision, once it was looked at again. */
export interface Outcome {
  readonly effective: boolean;
  readonly detail: string;
  readonly checked_at: string;
}

export interface PoolNode {
  readonly node: string;
  readonly state: string;
  readonly gpus: number;
  readonly free_gpus: number;
}

interface PoolsTable {
  id: string;
  provider_id: string;
  scheduler_kind: string | null;
  node_patterns: readonly string[];
  configured_mode: Mode;
  mode_override: Mode | null;
  paused: Generated<boolean>;
  scale_in_paused: Generated<boolean>;
  policy_digest: string;
  nodes: Generated<readonly PoolNode[]>;
  observed_at: Date | null;
  updated_at: Date;
}

interface DecisionsTable {
  id: string;
  pool: string;
  decided_at: Date;
  mode: Mode;
  action: Action;
  status: DecisionStatus;
  targets: readonly Target[];
  steps: readonly PlanStep[];
  reasons: readonly Reason[];
  rejected: readonly Rejection[];
  guards: readonly GuardHit[];
  forecast: Forecast;
  policy_digest: string;
  input_digest: string;
  code_version: string;
  signature: string;
  outcome: Outcome | null;
  approved_by: string | null;
  acted_at: Date | null;
  finished_at: Date | null;
  updated_at: Date;
  revision: Generated<bigint>;
}

export interface AutoscalerDatabase {
  'autoscaler.pools': PoolsTable;
  'autoscaler.decisions': DecisionsTable;
  'autoscaler.policies': { digest: string; document: ScalingPolicy; seen_at: Date };
  'autoscaler.inputs': { digest: string; document: Buffer; seen_at: Date };
  'autoscaler.kill_switch': { only_row: Generated<boolean>; pulled: boolean; at: Date | null };
  'autoscaler.leader': { only_row: Generated<boolean>; epoch: bigint; since: Date | null };
  'autoscaler.demand_points': { pool: string; observed_at: Date; gpus: number };
  'alerts.gpu_health_v1': { gpu_uuid: string; node: string; pool: string; state: string; since: Date };
  'billing.leases_v1': {
    lease_id: string;
    pool: string;
    node: string;
    gpu_uuid: string;
    started_at: Date;
    ended_at: Date | null;
  };
}

export const autoscalerMigrations: MigrationSet = {
  name: 'autoscaler',
  directory: new URL('../migrations/', import.meta.url),
};
