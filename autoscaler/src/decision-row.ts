/** A decision as it is stored, and as the API and the copies show it. */
import { formatInstant, instantFromMs } from '@poolmeter/domain';
import type { OutboxMessage } from '@poolmeter/relational-store';
import { messageHeaders, topics } from '@poolmeter/telemetry-schema';
import type { Selectable } from 'kysely';
import type { AutoscalerDatabase } from './autoscaler-database.js';
import type { PlanStep } from './plan-step.js';

export type DecisionRow = Selectable<AutoscalerDatabase['autoscaler.decisions']>;

/** The shape of surfaces.md, with the steps and what they led to. */
export function decisionView(row: DecisionRow) {
  return {
    id: row.id,
    pool: row.pool,
    decided_at: textOf(row.decided_at),
    mode: row.mode,
    action: row.action,
    status: row.status,
    targets: row.targets,
    reasons: row.reasons,
    rejected: row.rejected,
    guards: row.guards,
    policy_digest: row.policy_digest,
    input_digest: row.input_digest,
    forecast: row.forecast,
    outcome: row.outcome,
    steps: row.steps.map(stepView),
    approved_by: row.approved_by,
    acted_at: row.acted_at === null ? null : textOf(row.acted_at),
    finished_at: row.finished_at === null ? null : textOf(row.finished_at),
  };
}

function stepView({ action, state, detail, at, nodes }: PlanStep) {
  return {
    kind: action.kind,
    node: action.kind === 'add' ? null : action.node,
    gpu_model: action.kind === 'add' ? action.gpuModel : null,
    count: action.kind === 'add' ? action.count : null,
    state,
    detail,
    at,
    nodes,
  };
}

export type DecisionView = ReturnType<typeof decisionView>;

/** The message that makes ClickHouse's copy of this row; the revision lets the newest one win. */
export function decisionMessage(row: DecisionRow): OutboxMessage {
  const {
    steps: _steps,
    approved_by: _by,
    acted_at: _acted,
    finished_at: _finished,
    ...copy
  } = decisionView(row);
  return {
    topic: topics.scalingDecisions,
    key: row.id,
    headers: { [messageHeaders.schema]: 'row-copy', [messageHeaders.schemaVersion]: '1' },
    value: {
      table: 'scaling_decisions',
      row: { ...copy, outcome: copy.outcome ?? {} },
      version: String(row.revision),
    },
  };
}

function textOf(date: Date): string {
  return formatInstant(instantFromMs(date.getTime()));
}
