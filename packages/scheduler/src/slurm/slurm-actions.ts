/**
 * What poolmeter does to Slurm's nodes. Every way that takes a node away closes it first and then looks again, so that a
 * job which started in between keeps its node: Slurm's own word about what it has given away is the veto.
 */
import type { Clock } from '@poolmeter/domain';
import type { ActionOutcome, SchedulerAction } from '../scheduler.js';
import { isAllocated, isDrained, isPoweringDown, nodeStateOf } from './slurm-node-state.js';
import { OUR_WORD, reasonText, type SlurmUpdater } from './slurm-updates.js';
import type { SlurmNode } from './slurm-wire.js';

export interface SlurmActionDeps {
  /** The node as it is now; undefined when the pool has none of that name. */
  readonly lookAt: (node: string) => Promise<SlurmNode | undefined>;
  readonly update: SlurmUpdater;
  /** Keep nodes drained that we powered down, because Slurm wakes others by itself for any job that fits. */
  readonly holdPoweredDown: boolean;
  readonly clock: Clock;
}

type NodeAction = Extract<SchedulerAction, { node: string }>;
type Refusal = Extract<ActionOutcome, { ok: false }>;

export async function actOnSlurm(
  deps: SlurmActionDeps,
  action: SchedulerAction,
  reason: string,
): Promise<ActionOutcome> {
  if (action.kind === 'add' || action.kind === 'remove') {
    const advice = "Slurm's nodes are those of its configuration: use power_up and power_down.";
    return { ok: false, reason: 'unsupported', detail: advice };
  }
  const node = await deps.lookAt(action.node);
  if (node === undefined) {
    return { ok: false, reason: 'not_found', detail: `The pool has no node ${action.node} in Slurm.` };
  }
  return applyToNode(deps, { node, kind: action.kind, reason: reasonText(reason) });
}

interface Told {
  readonly node: SlurmNode;
  readonly kind: Exclude<NodeAction['kind'], 'remove'>;
  readonly reason: string;
}

function applyToNode(deps: SlurmActionDeps, told: Told): Promise<ActionOutcome> {
  switch (told.kind) {
    // Slurm has one way to close a node; a node that is empty is cordoned by it, one at work drains.
    case 'cordon':
    case 'drain':
      return drain(deps, told);
    case 'uncordon':
      return uncordon(deps, told);
    case 'power_up':
      return powerUp(deps, told);
    case 'power_down':
      return powerDown(deps, told);
  }
}

function done(node: SlurmNode, detail: string): ActionOutcome {
  return { ok: true, detail: `${node.name} ${detail}.`, nodes: [node.name] };
}

/** A drain that a person or another program gave a reason for is theirs to end. */
function othersDrain(node: SlurmNode): Refusal | undefined {
  if (!isDrained(node) || node.reason.startsWith(OUR_WORD)) return undefined;
  const detail = `${node.name} was drained by somebody else ("${node.reason}"): resume it with scontrol when it is well.`;
  return { ok: false, reason: 'refused', detail };
}

async function drain(deps: SlurmActionDeps, { node, reason }: Told): Promise<ActionOutcome> {
  // Their reason stays: it says why they closed it.
  if (othersDrain(node) !== undefined) return done(node, `was drained already: ${node.reason}`);
  const refused = await deps.update(node.name, { state: 'DRAIN', reason });
  return refused ?? done(node, 'is drained');
}

async function uncordon(deps: SlurmActionDeps, { node }: Told): Promise<ActionOutcome> {
  const others = othersDrain(node);
  if (others !== undefined) return others;
  if (!isDrained(node)) return done(node, 'was open already');
  // RESUME would also call a node up that is DOWN for another reason.
  const refused = await deps.update(node.name, { state: 'UNDRAIN' });
  if (refused !== undefined) return refused;
  await untilNode(deps, node.name, (now) => nodeStateOf(now) !== 'unknown');
  return done(node, 'takes work again');
}

async function powerUp(deps: SlurmActionDeps, { node }: Told): Promise<ActionOutcome> {
  const others = othersDrain(node);
  if (others !== undefined) return others;
  if (isPoweringDown(node)) {
    const detail = `${node.name} is still powering down, and Slurm would forget the wish: ask again when it is off.`;
    return { ok: false, reason: 'busy', detail };
  }
  if (isDrained(node)) {
    const refused = await deps.update(node.name, { state: 'UNDRAIN' });
    if (refused !== undefined) return refused;
  }
  if (nodeStateOf(node) !== 'powered_down') return done(node, 'is on or booting already');
  const refused = await deps.update(node.name, { state: 'POWER_UP' });
  return refused ?? done(node, 'boots');
}

async function powerDown(deps: SlurmActionDeps, told: Told): Promise<ActionOutcome> {
  const { node, reason } = told;
  if (nodeStateOf(node) === 'powered_down' && !isPoweringDown(node)) {
    return (await hold(deps, told)) ?? done(node, 'was off already');
  }
  if (isAllocated(node)) return busy(node);
  const wasDrained = isDrained(node);
  if (!wasDrained) {
    const refused = await deps.update(node.name, { state: 'DRAIN', reason });
    if (refused !== undefined) return refused;
  }
  // Nothing new can start there now; what started a moment ago shows here.
  const closed = await deps.lookAt(node.name);
  if (closed === undefined || isAllocated(closed)) {
    if (!wasDrained) await deps.update(node.name, { state: 'UNDRAIN' });
    return busy(node);
  }
  const refused = await deps.update(node.name, { state: 'POWER_DOWN' });
  if (refused !== undefined) return refused;
  // Slurm starts its suspend program within about a second, and opens the node then.
  await untilNode(deps, node.name, (now) => !isDrained(now));
  return (await hold(deps, told)) ?? done(node, 'is powered down');
}

function busy(node: SlurmNode): Refusal {
  const detail = `Slurm has given ${node.name} to jobs (${node.gres_used || 'CPUs'}); it is not powered down.`;
  return { ok: false, reason: 'busy', detail };
}

/** Slurm opens a node again when it suspends it, so the drain that keeps it off comes after that. */
async function hold(deps: SlurmActionDeps, { node, reason }: Told): Promise<Refusal | undefined> {
  if (!deps.holdPoweredDown) return undefined;
  return deps.update(node.name, { state: 'DRAIN', reason });
}

const SETTLES_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 200;

/**
 * Until Slurm has done what it was told: a node that it opens again counts as not responding until it has been asked. What
 * does not come soon is not worth waiting longer for; the next look tells.
 */
async function untilNode(
  deps: SlurmActionDeps,
  name: string,
  settled: (node: SlurmNode) => boolean,
): Promise<void> {
  const end = deps.clock.now() + SETTLES_WITHIN_MS;
  while (deps.clock.now() < end) {
    const node = await deps.lookAt(name);
    if (node === undefined || settled(node)) return;
    await deps.clock.sleep(LOOK_EVERY_MS);
  }
}
