/** One rule of the guard: what it sees, and what it says. */
import type { SchedulerAction } from '@poolmeter/scheduler';
import type { ModelGpus } from './cost-of-nodes.js';
import type { ObservedNode, PoolObservation } from './observation.js';
import type { GuardHit, Proposal } from './proposal.js';
import type { ScalingPolicy } from './scaling-policy.js';
import type { PoolSupply } from './supply.js';

export interface Judged {
  readonly proposal: Proposal;
  readonly observation: PoolObservation;
  readonly policy: ScalingPolicy;
  readonly supply: PoolSupply;
}

export type Rule = (judged: Judged) => GuardHit[];

export function block(guardName: string, text: string): GuardHit[] {
  return [{ guard: guardName, effect: 'block', text }];
}

export function advise(guardName: string, text: string): GuardHit[] {
  return [{ guard: guardName, effect: 'advise', text }];
}

const GPUS_OF_A_NODE_NOT_SEEN = 8;

/** The GPUs that a plan brings into use, by model. */
export function addedByModel(
  plan: readonly SchedulerAction[],
  { supply, observation }: Pick<Judged, 'supply' | 'observation'>,
): ModelGpus[] {
  const gpus = new Map<string, number>();
  const note = (gpuModel: string, count: number) => gpus.set(gpuModel, (gpus.get(gpuModel) ?? 0) + count);
  for (const step of plan) {
    if (step.kind === 'add') {
      const model = supply.byModel.find((each) => each.gpuModel === step.gpuModel);
      note(step.gpuModel, step.count * (model?.gpusPerNode ?? GPUS_OF_A_NODE_NOT_SEEN));
    } else if (step.kind === 'power_up') {
      noteGpus(
        observation.nodes.find((node) => node.node === step.node),
        note,
      );
    }
  }
  return [...gpus].map(([gpuModel, count]) => ({ gpuModel, gpus: count }));
}

/** What is paid for now: every node that is not switched off, and those on their way. */
export function runningByModel({ observation, supply }: Pick<Judged, 'supply' | 'observation'>): ModelGpus[] {
  const gpus = new Map<string, number>();
  const note = (gpuModel: string, count: number) => gpus.set(gpuModel, (gpus.get(gpuModel) ?? 0) + count);
  for (const node of observation.nodes) if (node.state !== 'powered_down') noteGpus(node, note);
  for (const { gpuModel, nodes } of observation.memory.open.flatMap((open) => open.coming)) {
    const model = supply.byModel.find((each) => each.gpuModel === gpuModel);
    note(gpuModel, nodes * (model?.gpusPerNode ?? GPUS_OF_A_NODE_NOT_SEEN));
  }
  return [...gpus].map(([gpuModel, count]) => ({ gpuModel, gpus: count }));
}

function noteGpus(node: ObservedNode | undefined, note: (gpuModel: string, count: number) => void): void {
  for (const gpu of node?.gpus ?? []) note(gpu.gpuModel, 1);
}
