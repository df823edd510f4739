/** Symptoms of one node, in time order, gathered into incidents: repeats fold, consequences join their cause. */
import type { EpochMs } from '@poolmeter/domain';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import type { OperatorResolution } from './evidence.js';
import type { Symptom } from './incident.js';
import { recoveryOf, type Recovery, type RecoveryFacts } from './recovery.js';

/** Symptoms that belong together; `lead` is the fault that names the incident. */
export interface Gathering {
  lead: Fault;
  /** The number of the event, where one fault stands for many codes. */
  leadCode: number;
  readonly node: string;
  readonly subject: string;
  symptoms: Symptom[];
  /** When each fault was last seen in here. */
  lastSeen: Map<string, EpochMs>;
  /** The last instant of the evidence; undefined while some of it goes on. */
  evidenceEnd: EpochMs | undefined;
}

export interface GatheringContext {
  readonly policy: FaultPolicy;
  readonly facts: RecoveryFacts;
  readonly resolutions: readonly OperatorResolution[];
  /** All GPUs of the node, for faults of the whole node. */
  readonly nodeGpus: readonly string[];
}

/** `symptoms` in time order. The result does not depend on how they were batched, because it is made from all of them. */
export function gatherIncidents(symptoms: readonly Symptom[], context: GatheringContext): Gathering[] {
  const open = new Map<string, Gathering[]>();
  const all: Gathering[] = [];
  for (const symptom of symptoms) {
    const subject = subjectOf(symptom);
    const here = (open.get(subject) ?? []).filter((one) => !isOver(one, symptom.ts, context));
    const joined = join(symptom, here, context);
    if (joined === undefined) {
      const fresh = begin(symptom, subject);
      absorbConsequences(fresh, { here, all, context });
      here.push(fresh);
      all.push(fresh);
    } else {
      append(joined, symptom);
    }
    open.set(
      subject,
      here.filter((one) => one.symptoms.length > 0),
    );
  }
  return all.filter((one) => one.symptoms.length > 0);
}

/** What an incident is about: a GPU, one of its instances for conditions on samples, or a whole node. */
function subjectOf(symptom: Symptom): string {
  if (symptom.fault.scope === 'node') return '';
  const gpu = symptom.gpuUuid === '' ? `pci:${symptom.pciBusId}` : symptom.gpuUuid;
  return 'telemetry' in symptom.fault.when ? `${gpu}/${symptom.gpuInstance}` : `${gpu}/`;
}

/** The recovery of a gathering, an operator's word included. */
export function recoveryOfGathering(gathering: Gathering, context: GatheringContext): Recovery {
  const recovery = recoveryOf(
    { fault: gathering.lead, symptoms: gathering.symptoms, gpuUuids: gpusOf(gathering, context) },
    context.facts,
  );
  const resolvedAt = operatorsWord(gathering, context.resolutions);
  if (resolvedAt === undefined || (recovery.clearedAt !== undefined && recovery.clearedAt <= resolvedAt)) {
    return recovery;
  }
  return {
    state: 'resolved',
    verifyingSince: undefined,
    clearedAt: resolvedAt,
    lookAgainAt: undefined,
    reason: 'An operator resolved it.',
  };
}

export function gpusOf(gathering: Gathering, context: GatheringContext): string[] {
  if (gathering.lead.scope === 'node') return [...context.nodeGpus];
  const gpuUuid = gathering.symptoms[0]?.gpuUuid ?? '';
  return gpuUuid === '' ? [] : [gpuUuid];
}

function operatorsWord(
  gathering: Gathering,
  resolutions: readonly OperatorResolution[],
): EpochMs | undefined {
  const openedAt = gathering.symptoms[0]?.ts;
  const gpuUuid = gathering.lead.scope === 'node' ? '' : (gathering.symptoms[0]?.gpuUuid ?? '');
  const at = resolutions
    .filter(
      (one) => one.node === gathering.node && one.gpuUuid === gpuUuid && gathering.lastSeen.has(one.code),
    )
    .map((one) => one.at)
    .filter((instant) => openedAt !== undefined && instant > openedAt)
    .sort((a, b) => a - b);
  return at[0];
}

/** Whether the incident was cleared before `at`, so that new evidence begins another one. */
function isOver(gathering: Gathering, at: EpochMs, context: GatheringContext): boolean {
  const resolvedAt = operatorsWord(gathering, context.resolutions);
  if (resolvedAt !== undefined && resolvedAt <= at) return true;
  const end = gathering.evidenceEnd;
  // Bursts have thousands of lines: the full question is asked only when enough time has passed for a "yes".
  if (end === undefined || at - end < shortestClearingMs(gathering.lead)) return false;
  const clearedAt = recoveryOfGathering(gathering, context).clearedAt;
  return clearedAt !== undefined && clearedAt <= at;
}

function shortestClearingMs(fault: Fault): number {
  switch (fault.clear.by) {
    case 'signal':
      return 0;
    case 'expiry':
      return fault.clear.after;
    case 'healthy':
    case 'reset':
    case 'return':
      return fault.clear.healthy_for;
  }
}

/** The open incident that a symptom belongs to: its own fault's first, then its cause's, the gravest cause first. */
function join(
  symptom: Symptom,
  here: readonly Gathering[],
  context: GatheringContext,
): Gathering | undefined {
  const own = here.find((one) => isSameFault(one, symptom));
  if (own !== undefined) return own;
  const burst = here.find((one) => continuesBurst(one, symptom, context.policy.folding.burst_gap));
  if (burst !== undefined) return burst;
  const causes = here.filter((one) => follows(symptom, one, context.policy));
  const rank = (one: Gathering) => rankOf(one.lead, context.policy);
  return causes.sort((a, b) => rank(a) - rank(b))[0];
}

function isSameFault(gathering: Gathering, symptom: Symptom): boolean {
  return (
    gathering.lead.code === symptom.fault.code &&
    (listsCodes(symptom.fault) || gathering.leadCode === symptom.code)
  );
}

/** An Xid or SXid fault without a list of codes stands for many: each number is an incident of its own. */
function listsCodes(fault: Fault): boolean {
  if (!('event' in fault.when)) return true;
  const numbered = fault.when.event === 'xid' || fault.when.event === 'sxid';
  return !numbered || fault.when.codes !== undefined;
}

function continuesBurst(gathering: Gathering, symptom: Symptom, burstGapMs: number): boolean {
  const last =
    gathering.lead.code === symptom.fault.code ? undefined : gathering.lastSeen.get(symptom.fault.code);
  return last !== undefined && symptom.ts - last <= burstGapMs;
}

function follows(symptom: Symptom, cause: Gathering, policy: FaultPolicy): boolean {
  const rule = symptom.fault.follows;
  if (rule === undefined || !isCauseOf(cause.lead, symptom.fault, policy)) return false;
  const last = Math.max(...cause.lastSeen.values());
  return rule.while_open || symptom.ts - last <= rule.within;
}

/** `any` means every fault of an event that the policy lists before the consequence. */
function isCauseOf(cause: Fault, consequence: Fault, policy: FaultPolicy): boolean {
  const codes = consequence.follows?.codes;
  if (codes === undefined || cause.code === consequence.code) return false;
  if (codes !== 'any') return codes.includes(cause.code);
  return 'event' in cause.when && rankOf(cause, policy) < rankOf(consequence, policy);
}

function rankOf(fault: Fault, policy: FaultPolicy): number {
  return policy.faults.findIndex((one) => one.code === fault.code);
}

function begin(symptom: Symptom, subject: string): Gathering {
  return {
    lead: symptom.fault,
    leadCode: symptom.code,
    node: symptom.node,
    subject,
    symptoms: [symptom],
    lastSeen: new Map([[symptom.fault.code, symptom.ts]]),
    evidenceEnd: symptom.until,
  };
}

function append(gathering: Gathering, symptom: Symptom): void {
  gathering.symptoms.push(symptom);
  gathering.lastSeen.set(symptom.fault.code, symptom.ts);
  gathering.evidenceEnd = laterEnd(gathering.evidenceEnd, symptom.until);
}

function laterEnd(a: EpochMs | undefined, b: EpochMs | undefined): EpochMs | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a > b ? a : b;
}

/** A cause that is logged just after its consequences takes them over. */
function absorbConsequences(
  cause: Gathering,
  among: { here: readonly Gathering[]; all: readonly Gathering[]; context: GatheringContext },
): void {
  const at = cause.symptoms[0]?.ts ?? 0;
  for (const one of among.here) {
    const within = one.lead.follows?.within ?? -1;
    const opened = one.symptoms[0]?.ts ?? 0;
    if (!isCauseOf(cause.lead, one.lead, among.context.policy) || at - opened > within) continue;
    cause.evidenceEnd = laterEnd(cause.evidenceEnd, one.evidenceEnd);
    cause.symptoms = [...one.symptoms, ...cause.symptoms].sort((a, b) => a.ts - b.ts);
    for (const [code, ts] of one.lastSeen) {
      const known = cause.lastSeen.get(code);
      if (known === undefined || known < ts) cause.lastSeen.set(code, ts);
    }
    one.symptoms = [];
    one.lastSeen = new Map();
  }
}
