/** Policies of other autoscalers, as their documents describe them, to compare with; and two sizes that never change. */
import { z } from 'zod';
import { reserveFor } from '../place-demand.js';
import type { PoolLook, Sizer } from './simulate-pool.js';

const seconds = z.number().int().min(0);
const head = { version: z.literal(1).default(1), name: z.string().optional() };

export const classicPolicySchema = z.discriminatedUnion('kind', [
  z.strictObject({ ...head, kind: z.literal('static'), nodes: z.number().int().min(0) }),
  z.strictObject({
    ...head,
    kind: z.literal('hpa-like'),
    target_ratio: z.number().min(0.05).max(1).default(0.8),
    tolerance: z.number().min(0).max(1).default(0.1),
    stabilize_s: seconds.default(300).describe('The largest wish of this window counts when shrinking.'),
    min_nodes: z.number().int().min(1).default(1),
  }),
  z.strictObject({
    ...head,
    kind: z.literal('cluster-autoscaler-like'),
    unneeded_s: seconds.default(600),
    after_add_s: seconds.default(600),
    max_empty_at_once: z.number().int().min(1).default(10),
  }),
  z.strictObject({
    ...head,
    kind: z.literal('ray-like'),
    idle_s: seconds.default(300),
    upscaling_speed: z.number().min(0.01).default(1),
  }),
  z.strictObject({
    ...head,
    kind: z.literal('schedule'),
    nodes_by_hour: z
      .array(z.number().int().min(0))
      .length(24)
      .describe('Hours of the day, from the start of the trace.'),
  }),
]);

export type ClassicPolicy = z.output<typeof classicPolicySchema>;

export function classicSizer(policy: ClassicPolicy): Sizer {
  switch (policy.kind) {
    case 'static':
      return ({ fleet, coming }) => Math.max(0, policy.nodes - fleet.nodes - coming);
    case 'hpa-like':
      return hpaLike(policy);
    case 'cluster-autoscaler-like':
      return clusterAutoscalerLike(policy);
    case 'ray-like':
      return rayLike(policy);
    case 'schedule':
      return (look) => {
        const hour = Math.floor(look.nowS / 3_600) % 24;
        return wishToChange(look, policy.nodes_by_hour[hour] ?? 0);
      };
  }
}

/** Down only as far as nodes are idle: all of these are spared the killing of work. */
function wishToChange({ fleet, coming }: PoolLook, wish: number): number {
  const change = wish - fleet.nodes - coming;
  return change >= 0 ? change : -Math.min(-change, fleet.idleNodes.length);
}

type Of<Kind extends ClassicPolicy['kind']> = Extract<ClassicPolicy, { kind: Kind }>;

/** Busy share against a target; growth at most to the double; waiting work is not seen but for full GPUs. */
function hpaLike(policy: Of<'hpa-like'>): Sizer {
  let wishes: { readonly atS: number; readonly nodes: number }[] = [];
  return (look) => {
    const { fleet, coming, nowS } = look;
    const now = fleet.nodes + coming;
    const ratio =
      fleet.nodes === 0 ? 0 : fleet.usedGpus / (fleet.nodes * fleet.perNode) / policy.target_ratio;
    const raw = Math.abs(ratio - 1) <= policy.tolerance ? now : Math.ceil(fleet.nodes * ratio);
    const wish = Math.max(policy.min_nodes, Math.min(raw, 2 * Math.max(1, now)));
    wishes = [...wishes.filter((one) => nowS - one.atS < policy.stabilize_s), { atS: nowS, nodes: wish }];
    const most = Math.max(...wishes.map((one) => one.nodes));
    return wishToChange(look, wish >= now ? wish : Math.min(now, most));
  };
}

/** Nodes that the waiting work needs, packed onto what is free and coming. */
function nodesForWaiting({ fleet, coming, waiting, trace }: PoolLook): number {
  if (waiting.length === 0) return 0;
  const left = Array.from({ length: fleet.perNode + 1 }, (_, free) => fleet.withFree(free));
  left[fleet.perNode] = (left[fleet.perNode] ?? 0) + coming;
  let lacks = 0;
  for (const job of waiting) lacks += reserveFor(left, trace.gpus[job] ?? 0, fleet.perNode);
  return Math.ceil(lacks / fleet.perNode);
}

function idleFor({ fleet, nowS }: PoolLook, seconds_: number): number {
  let count = 0;
  for (const node of fleet.idleNodes) if (nowS - fleet.idleSinceS(node) >= seconds_) count += 1;
  return count;
}

function clusterAutoscalerLike(policy: Of<'cluster-autoscaler-like'>): Sizer {
  let lastAddS = -Infinity;
  return (look) => {
    const add = nodesForWaiting(look);
    if (add > 0) {
      lastAddS = look.nowS;
      return add;
    }
    if (look.waiting.length > 0 || look.nowS - lastAddS < policy.after_add_s) return 0;
    return -Math.min(policy.max_empty_at_once, idleFor(look, policy.unneeded_s));
  };
}

function rayLike(policy: Of<'ray-like'>): Sizer {
  return (look) => {
    const add = nodesForWaiting(look);
    const most = Math.max(5, Math.ceil(policy.upscaling_speed * (look.fleet.nodes + look.coming)));
    if (add > 0) return Math.min(add, Math.max(0, most - look.coming));
    return look.waiting.length > 0 ? 0 : -idleFor(look, policy.idle_s);
  };
}
