/** What the scheduler does when it is told to: cordon, drain, power, add and remove. */
import type { ActionOutcome, SchedulerAction } from '@poolmeter/scheduler';
import type { EventQueue } from './event-queue.js';
import type { FaultEffects } from './fault-effects.js';
import type { FaultHazards } from './fault-hazards.js';
import { isKnownGpuModel } from './gpu-model.js';
import type { JobBook } from './job-book.js';
import type { PoolShape } from './pool-shape.js';
import { SimulatedNode } from './simulated-node.js';

const MAX_ADDED_AT_ONCE = 64;

export interface ActionParts {
  readonly shape: PoolShape;
  readonly poolSeed: number;
  readonly nodes: Map<string, SimulatedNode>;
  readonly events: EventQueue;
  readonly jobs: JobBook;
  readonly effects: FaultEffects;
  readonly hazards: FaultHazards;
}

type NodeAction = Exclude<SchedulerAction, { kind: 'add' }>;
interface Told {
  readonly at: number;
  readonly reason: string;
}

function done(detail: string, ...nodes: string[]): ActionOutcome {
  return { ok: true, detail, nodes };
}

function refused(reason: 'busy' | 'not_found' | 'unsupported' | 'refused', detail: string): ActionOutcome {
  return { ok: false, reason, detail };
}

export function applyAction(parts: ActionParts, action: SchedulerAction, told: Told): ActionOutcome {
  if (action.kind === 'add') return addNodes(parts, action, told);
  const node = parts.nodes.get(action.node);
  if (node === undefined || node.removedAtMs !== undefined) {
    return refused('not_found', `The pool has no node ${action.node}.`);
  }
  return applyToNode(parts, node, { ...told, kind: action.kind });
}

function applyToNode(
  parts: ActionParts,
  node: SimulatedNode,
  told: Told & { kind: NodeAction['kind'] },
): ActionOutcome {
  switch (told.kind) {
    case 'cordon':
      if (node.state === 'cordoned') return done(`${node.name} was cordoned already.`, node.name);
      return moveTo(node, { from: ['ready', 'draining'], to: 'cordoned', ...told });
    case 'drain':
      if (node.state === 'draining') return done(`${node.name} was draining already.`, node.name);
      return moveTo(node, { from: ['ready', 'cordoned'], to: 'draining', ...told });
    case 'uncordon': {
      if (node.state === 'ready') return done(`${node.name} was ready already.`, node.name);
      const outcome = moveTo(node, { from: ['cordoned', 'draining'], to: 'ready', ...told, reason: '' });
      if (outcome.ok) parts.jobs.startWhatFits(told.at);
      return outcome;
    }
    case 'power_up':
      if (node.state === 'booting') return done(`${node.name} is booting already.`, node.name);
      if (node.state !== 'powered_down') return wrongState(node, 'power_up');
      boot(parts, node, told);
      return done(`${node.name} boots.`, node.name);
    case 'power_down':
      if (node.state === 'powered_down') return done(`${node.name} was off already.`, node.name);
      if (node.leaseCount > 0) return busy(node, 'powered down');
      return moveTo(node, { from: ['ready', 'cordoned', 'draining'], to: 'powered_down', ...told });
    case 'remove':
      return removeNode(node, told);
  }
}

function moveTo(
  node: SimulatedNode,
  move: Told & {
    from: readonly SimulatedNode['state'][];
    to: SimulatedNode['state'];
    kind: NodeAction['kind'];
  },
): ActionOutcome {
  if (!move.from.includes(node.state)) return wrongState(node, move.kind);
  node.setState(move.to, move);
  return done(`${node.name} is ${move.to.replace('_', ' ')}.`, node.name);
}

function wrongState(node: SimulatedNode, kind: NodeAction['kind']): ActionOutcome {
  return refused('refused', `${node.name} is ${node.state}, where ${kind} has no meaning.`);
}

function busy(node: SimulatedNode, what: string): ActionOutcome {
  return refused('busy', `${node.name} holds ${node.leaseCount} leases and is not ${what}.`);
}

function removeNode(node: SimulatedNode, told: Told): ActionOutcome {
  if (node.leaseCount > 0) return busy(node, 'removed');
  node.removedAtMs = told.at;
  node.noteExporter(told.at);
  return done(`${node.name} is removed.`, node.name);
}

function boot(parts: ActionParts, node: SimulatedNode, told: Told): void {
  node.setState('booting', told);
  const upAt = told.at + parts.shape.bootMs;
  parts.events.schedule(upAt, () => {
    if (node.removedAtMs !== undefined || node.state !== 'booting') return;
    node.setState('ready', { at: upAt, reason: '' });
    parts.effects.restartDriver(node, upAt);
  });
}

function addNodes(
  parts: ActionParts,
  action: Extract<SchedulerAction, { kind: 'add' }>,
  told: Told,
): ActionOutcome {
  if (!isKnownGpuModel(action.gpuModel)) {
    return refused('unsupported', `Nobody offers nodes with "${action.gpuModel}".`);
  }
  if (!Number.isInteger(action.count) || action.count < 1 || action.count > MAX_ADDED_AT_ONCE) {
    return refused('unsupported', `Between 1 and ${MAX_ADDED_AT_ONCE} nodes can be added at once.`);
  }
  const names = Array.from({ length: action.count }, () => {
    const name = `gpu-${String(parts.nodes.size + 1).padStart(2, '0')}`;
    const like = parts.shape.nodes.find((one) => one.gpuModel === action.gpuModel) ?? parts.shape.nodes[0];
    const shape = {
      node: name,
      providerId: like?.providerId ?? 'north',
      gpuModel: action.gpuModel,
      gpus: like?.gpus ?? 8,
    };
    const node = new SimulatedNode(shape, { poolSeed: parts.poolSeed, at: told.at, state: 'booting' });
    parts.nodes.set(name, node);
    boot(parts, node, told);
    parts.hazards.watch(node, told.at + parts.shape.bootMs);
    return name;
  });
  return done(`${names.join(', ')} boot.`, ...names);
}
