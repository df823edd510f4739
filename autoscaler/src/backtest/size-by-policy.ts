/**
 * The scaling policy's decision on the counts of a pool of one model: what `evaluate` decides, without names and
 * sentences. A property holds the two to each other, tick by tick.
 */
import { gpusIn, reserveFor } from '../place-demand.js';
import type { ScalingPolicy } from '../scaling-policy.js';
import type { PoolLook, Sizer } from './simulate-pool.js';

interface Memory {
  lastOutS: number;
  lastInS: number;
  readonly demand: { readonly atS: number; readonly gpus: number }[];
  demandSum: number;
  readonly recent: { readonly atS: number; readonly change: number }[];
  /** Used again at each tick. */
  readonly left: number[];
}

const HOUR_S = 3_600;

export function sizerOf(policy: ScalingPolicy): Sizer {
  const memory: Memory = {
    lastOutS: -Infinity,
    lastInS: -Infinity,
    demand: [],
    demandSum: 0,
    recent: [],
    left: [],
  };
  return (look) => {
    const change = changeFor(look, { policy, memory });
    if (change > 0) memory.lastOutS = look.nowS;
    if (change < 0) memory.lastInS = look.nowS;
    if (change !== 0) memory.recent.push({ atS: look.nowS, change });
    return change;
  };
}

interface Rules {
  readonly policy: ScalingPolicy;
  readonly memory: Memory;
}

function changeFor(look: PoolLook, rules: Rules): number {
  const { policy, memory } = rules;
  const { fleet } = look;
  const healthy = fleet.nodes * fleet.perNode;
  const headroom = Math.max(policy.headroom.gpus, Math.ceil(policy.headroom.ratio * healthy));
  const reserve = headroom + expectedGrowth(look, rules);
  while (memory.recent.length > 0 && look.nowS - (memory.recent[0]?.atS ?? 0) >= HOUR_S)
    memory.recent.shift();
  const left = memory.left;
  for (let free = 0; free <= fleet.perNode; free += 1) left[free] = fleet.withFree(free);
  left[fleet.perNode] = (left[fleet.perNode] ?? 0) + look.coming;
  const wanted = wantedNodes(look, { policy, left, reserve });
  if (wanted > 0)
    return look.nowS - memory.lastOutS < policy.scale_out.cooldown_s ? 0 : outWithinRate(wanted, rules);
  const surplus = removable(look, { ...rules, left, reserve });
  return surplus === 0 ? 0 : -surplus;
}

function outWithinRate(wanted: number, { policy, memory }: Rules): number {
  const added = memory.recent.reduce((all, one) => all + Math.max(0, one.change), 0);
  return added + wanted > policy.scale_out.max_nodes_per_hour ? 0 : wanted;
}

function expectedGrowth({ nowS, fleet, waitingGpus }: PoolLook, { policy, memory }: Rules): number {
  const demand = fleet.usedGpus + waitingGpus;
  while (memory.demand.length > 0 && (memory.demand[0]?.atS ?? 0) < nowS - policy.forecast.window_s) {
    memory.demandSum -= memory.demand.shift()?.gpus ?? 0;
  }
  const mean = Math.ceil((memory.demandSum + demand) / (memory.demand.length + 1));
  memory.demand.push({ atS: nowS, gpus: demand });
  memory.demandSum += demand;
  return Math.max(0, mean - demand);
}

interface Left {
  readonly policy: ScalingPolicy;
  /** Nodes by their free GPUs that no waiting work needs, booting ones included. Changed while work is placed. */
  readonly left: number[];
  readonly reserve: number;
}

/** Nodes for work that is due and for headroom, within the step limit and the caps. */
function wantedNodes(look: PoolLook, { policy, left, reserve }: Left): number {
  const { perNode } = look.fleet;
  const nodes = look.fleet.nodes + look.coming;
  const room = Math.max(
    0,
    Math.min(
      policy.scale_out.max_nodes_per_step,
      policy.max_nodes - nodes,
      Math.floor((policy.max_gpus - nodes * perNode) / perNode),
    ),
  );
  let ordered = 0;
  let missing = 0;
  for (const job of look.waiting) {
    const lacks = reserveFor(left, look.trace.gpus[job] ?? 0, perNode);
    const waitedS = look.nowS - (look.trace.arrivalS[job] ?? 0);
    if (lacks === 0 || waitedS + policy.boot_estimate_s < policy.target_wait_s) continue;
    const extra = Math.ceil((missing + lacks) / perNode) - ordered;
    if (extra > room - ordered) continue;
    ordered += extra;
    missing += lacks;
  }
  const free = gpusIn(left) + Math.max(0, ordered * perNode - missing);
  const short = reserve - free;
  if (short > 0) ordered += Math.min(Math.ceil(short / perNode), room - ordered);
  return ordered;
}

function removable(look: PoolLook, { policy, memory, left, reserve }: Rules & Left): number {
  const { fleet, nowS, coming } = look;
  const { scale_in: rule } = policy;
  if (nowS - memory.lastOutS < rule.cooldown_s || nowS - memory.lastInS < rule.cooldown_s) return 0;
  if (nowS < rule.after_restart_s) return 0;
  const whole = (left[fleet.perNode] ?? 0) - coming;
  const spare = Math.min(fleet.freeGpus, gpusIn(left) - coming * fleet.perNode) - reserve;
  const most = Math.min(
    rule.max_nodes_per_step,
    whole,
    Math.floor(spare / fleet.perNode),
    fleet.nodes + coming - policy.min_nodes,
  );
  if (most <= 0) return 0;
  let old = 0;
  for (const node of fleet.idleNodes) if (nowS - fleet.idleSinceS(node) >= rule.idle_for_s) old += 1;
  const count = Math.min(most, old);
  return count === 0 || !paceAllows(count, { policy, memory }) ? 0 : count;
}

function paceAllows(count: number, { policy, memory }: Rules): boolean {
  const removed = memory.recent.reduce((all, one) => all + Math.max(0, -one.change), 0);
  if (removed + count > policy.scale_in.max_nodes_per_hour) return false;
  const ways = [...memory.recent.map((one) => Math.sign(one.change)), -1];
  const turns = ways.filter((way, index) => index > 0 && way !== ways[index - 1]).length;
  return turns <= policy.scale_in.max_turns_per_hour;
}
