/** Puts a scenario into the event queue. */
import { PoolmeterError } from '@poolmeter/domain';
import type { EventQueue } from './event-queue.js';
import type { FaultEffects } from './fault-effects.js';
import type { JobSpec, Placement } from './job.js';
import type { JobBook } from './job-book.js';
import { hashText } from './random.js';
import type { Scenario, ScenarioFault, ScenarioLease, ScenarioSubmission } from './scenario.js';
import type { SimulatedGpu } from './simulated-gpu.js';
import type { SimulatedNode } from './simulated-node.js';

export interface ScriptParts {
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  readonly events: EventQueue;
  readonly jobs: JobBook;
  readonly effects: FaultEffects;
  readonly startAt: number;
}

/** Every mistake in a scenario is found before anything happens. */
export function scheduleScenario(scenario: Scenario, parts: ScriptParts): void {
  for (const lease of scenario.leases ?? []) scheduleLease(lease, parts);
  for (const submission of scenario.submissions ?? []) scheduleSubmission(submission, parts);
  for (const fault of scenario.faults ?? []) scheduleFault(fault, parts);
}

function refuse(message: string): never {
  throw new PoolmeterError('input.invalid', message);
}

function mustLieAhead(what: string, span: { from: number; to: number }, parts: ScriptParts): void {
  if (span.from < parts.startAt) refuse(`${what} begins before the pool's history does.`);
  if (span.to <= span.from) refuse(`${what} must end after it begins.`);
}

function gpuOf(parts: ScriptParts, nodeName: string, gpuIndex: number | undefined): SimulatedGpu {
  const node =
    parts.nodes.get(nodeName) ?? refuse(`The scenario names node ${nodeName}, which is not there.`);
  return (
    node.gpus[gpuIndex ?? -1] ??
    refuse(`The scenario names GPU ${gpuIndex} of ${nodeName}, which is not there.`)
  );
}

function placementOf(lease: ScenarioLease, gpu: SimulatedGpu): Placement {
  if (gpu.instances.length === 0 && lease.gpuInstanceId === undefined) return { gpu, place: 0 };
  const place = gpu.instances.findIndex((one) => one.instanceId === lease.gpuInstanceId);
  if (place < 0)
    refuse(`GPU ${gpu.index} of ${gpu.node} has no instance ${lease.gpuInstanceId ?? '(none named)'}.`);
  return { gpu, place };
}

function scheduleLease(lease: ScenarioLease, parts: ScriptParts): void {
  mustLieAhead(`Lease ${lease.leaseId}`, { from: lease.startsAt, to: lease.endsAt }, parts);
  const placement = placementOf(lease, gpuOf(parts, lease.node, lease.gpuIndex));
  const spec: JobSpec = {
    ...specBase(lease, lease.leaseId),
    gpus: 1,
    migProfile: undefined,
    gpuModels: [],
    durationMs: lease.endsAt - lease.startsAt,
    keepsLease: lease.keepsLease ?? true,
    leaseIds: [lease.leaseId],
  };
  parts.events.schedule(lease.startsAt, () => parts.jobs.startOn(spec, [placement], lease.startsAt));
}

function scheduleSubmission(job: ScenarioSubmission, parts: ScriptParts): void {
  const span = { from: job.submittedAt, to: job.submittedAt + job.durationMs };
  mustLieAhead(`Job ${job.jobId}`, span, parts);
  const spec: JobSpec = {
    ...specBase(job, job.jobId),
    gpus: job.gpus,
    migProfile: job.migProfile,
    gpuModels: job.gpuModel === undefined ? [] : [job.gpuModel],
    durationMs: job.durationMs,
    keepsLease: false,
  };
  parts.events.schedule(job.submittedAt, () => parts.jobs.submit(spec, job.submittedAt));
}

function specBase(job: ScenarioLease | ScenarioSubmission, jobId: string) {
  return {
    jobId,
    seed: hashText(jobId),
    customerId: job.customerId,
    project: job.project ?? '',
    pricingMode: job.pricingMode ?? 'on_demand',
    profile: job.profile ?? 'training_steady',
    intensity: 1,
    priority: job.priority ?? 0,
  } as const;
}

function scheduleFault(fault: ScenarioFault, parts: ScriptParts): void {
  mustLieAhead(`A fault of ${fault.node}`, { from: fault.at, to: fault.healthyAt }, parts);
  const node =
    parts.nodes.get(fault.node) ?? refuse(`The scenario names node ${fault.node}, which is not there.`);
  const gpu = fault.gpuIndex === undefined ? undefined : gpuOf(parts, fault.node, fault.gpuIndex);
  if (gpu === undefined && !fault.kind.startsWith('exporter_')) {
    refuse(`A fault of kind ${fault.kind} needs a gpuIndex.`);
  }
  const plan = {
    kind: fault.kind,
    at: fault.at,
    healthyAt: fault.healthyAt,
    recovery: fault.recovery ?? 'gpu_reset',
    remapFails: false,
    seed: hashText(`${fault.node}/${fault.at}`),
  } as const;
  parts.events.schedule(fault.at, () => parts.effects.strike(plan, node, gpu));
}
