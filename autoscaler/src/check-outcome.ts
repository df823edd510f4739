/** Looks later whether a decision that was carried out had its effect. Pure. */
import type { DecisionRow } from './decision-row.js';
import type { ObservedNode, PoolObservation } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';

export interface OutcomeFinding {
  readonly effective: boolean;
  readonly detail: string;
}

/** undefined while it is too early to tell. */
export function findOutcome(
  row: Pick<DecisionRow, 'steps' | 'acted_at'>,
  { observation, policy }: { observation: PoolObservation; policy: ScalingPolicy },
): OutcomeFinding | undefined {
  if (!observation.sources.scheduler.ok) return undefined;
  const actedMs = row.acted_at?.getTime() ?? observation.observedAtMs;
  const nodes = new Map(observation.nodes.map((node) => [node.node, node]));
  const missing = row.steps.flatMap((step) => missingAfter(step, { nodes, actedMs }));
  if (missing.length === 0) return { effective: true, detail: 'All of it is as intended.' };
  if (observation.observedAtMs - actedMs < policy.boot_timeout_s * 1_000) return undefined;
  return { effective: false, detail: `Not so after ${policy.boot_timeout_s} s: ${missing.join('; ')}.` };
}

function missingAfter(
  { action, nodes: named }: DecisionRow['steps'][number],
  { nodes, actedMs }: { nodes: ReadonlyMap<string, ObservedNode>; actedMs: number },
): string[] {
  switch (action.kind) {
    case 'power_up':
      return nodes.get(action.node)?.state === 'ready' ? [] : [`${action.node} is ready`];
    case 'add':
      return missingAdditions({ ...action, named }, { nodes, actedMs });
    case 'remove':
      return nodes.has(action.node) ? [`${action.node} is gone`] : [];
    case 'power_down':
      return ['powered_down', undefined].includes(nodes.get(action.node)?.state)
        ? []
        : [`${action.node} is off`];
    default:
      return [];
  }
}

function missingAdditions(
  added: { count: number; gpuModel: string; named: readonly string[] },
  { nodes, actedMs }: { nodes: ReadonlyMap<string, ObservedNode>; actedMs: number },
): string[] {
  if (added.named.length > 0) {
    return added.named.filter((name) => nodes.get(name)?.state !== 'ready').map((name) => `${name} is ready`);
  }
  const fresh = [...nodes.values()].filter(
    (node) =>
      node.state === 'ready' &&
      node.sinceMs >= actedMs &&
      node.gpus.some((gpu) => gpu.gpuModel === added.gpuModel),
  );
  return fresh.length >= added.count ? [] : [`${added.count} new nodes of ${added.gpuModel} are ready`];
}
