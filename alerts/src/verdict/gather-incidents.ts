/** Symptoms of one node, in time order, gathered into incidents: repeats fold, consequences join their cause. */
import type { EpochMs } from '@poolmeter/domain';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import type { OperatorResolution } from './evidence.js';
import { clearingMs, flappingSymptoms } from './flapping.js';
import type { Symptom } from './incident.js';
import { recoveryOfIncident, type IncidentRecovery } from './recovery-of-incident.js';
import type { RecoveryFacts } from './recovery.js';
import { clustersOf } from './spread-symptoms.js';

/** Symptoms that belong together; `lead` is the fault that names the incident. */
export interface Gathering {
  lead: Fault;
  /** The number of the event, where one fault stands for many codes. */
  leadCode: number;
  readonly node: string;
  symptoms: Symptom[];
  /** When each fault was last seen in here. */
  lastSeen: Map<string, EpochMs>;
  /** The last instant of the evidence; undefined while some of it goes on. */
  evidenceEnd: EpochMs | undefined;
  /** How long it has to be quiet because it comes and goes; 0 when it does not. */
  quietMs: number;
  /** All GPUs that its evidence names, in the order in which they were seen. */
  readonly gpuUuids: Set<string>;
}

export interface GatheringContext {
  readonly policy: FaultPolicy;
  readonly facts: RecoveryFacts;
  readonly resolutions: readonly OperatorResolution[];
  /** All GPUs of the node, for faults of the whole node. */
  readonly nodeGpus: readonly string[];
}

/** Incidents that are open at the symptom in hand, by what they are about. */
interface OpenIncidents {
  readonly bySubject: Map<string, Gathering[]>;
  readonly byCluster: Map<string, Gathering>;
}

/** `symptoms` in time order. The result does not depend on how they were batched, because it is made from all of them. */
export function gatherIncidents(symptoms: readonly Symptom[], context: GatheringContext): Gathering[] {
  const open: OpenIncidents = { bySubject: new Map(), byCluster: new Map() };
  const all: Gathering[] = [];
  const clusters = clustersOf(symptoms);
  const flapping = flappingSymptoms(symptoms, { policy: context.policy, subjectOf });
  for (const symptom of symptoms) {
    const subject = subjectOf(symptom);
    const cluster = clusters.get(symptom);
    const here = openAt(open, subject, { at: symptom.ts, context });
    const joined = joinCluster(open, cluster, { symptom, context }) ?? join(symptom, here, context);
    const gathering = joined ?? begin(symptom);
    if (joined === undefined) {
      absorbConsequences(gathering, { here: absorbable(open, symptom, here), context });
      all.push(gathering);
    } else {
      append(joined, symptom);
    }
    if (flapping.has(symptom)) gathering.quietMs = context.policy.folding.flapping?.quiet_for ?? 0;
    if (cluster !== undefined) open.byCluster.set(cluster, gathering);
    // Incidents of the whole node stand under the node, also while another one of it begins.
    const isKept = (one: Gathering) =>
      one.symptoms.length > 0 && (subject === NODE_SUBJECT || one.lead.scope !== 'node');
    const kept = here.filter(isKept);
    open.bySubject.set(subject, kept.includes(gathering) ? kept : [...kept, gathering]);
  }
  return all.filter((one) => one.symptoms.length > 0);
}

const NODE_SUBJECT = '';

/** Incidents of the subject, and those of the whole node, which may be their cause. */
function openAt(
  open: OpenIncidents,
  subject: string,
  of: { readonly at: EpochMs; readonly context: GatheringContext },
): Gathering[] {
  const ofNode = subject === NODE_SUBJECT ? [] : (open.bySubject.get(NODE_SUBJECT) ?? []);
  const candidates = [...(open.bySubject.get(subject) ?? []), ...ofNode];
  return candidates.filter((one) => one.symptoms.length > 0 && !isOver(one, of.at, of.context));
}

/** A cause of the whole node takes over consequences on every GPU. */
function absorbable(open: OpenIncidents, symptom: Symptom, here: readonly Gathering[]): readonly Gathering[] {
  if (symptom.fault.scope !== 'node') return here;
  return [...new Set([...open.bySubject.values()].flat())].filter((one) => one.symptoms.length > 0);
}

/** What an incident is about: a GPU, one of its instances for conditions on samples, or a whole node. */
function subjectOf(symptom: Symptom): string {
  if (symptom.fault.scope === 'node') return NODE_SUBJECT;
  const gpu = symptom.gpuUuid === '' ? `pci:${symptom.pciBusId}` : symptom.gpuUuid;
  const ofInstance = 'signal' in symptom.fault.when || 'telemetry' in symptom.fault.when;
  return ofInstance ? `${gpu}/${symptom.gpuInstance}` : `${gpu}/`;
}

/** The recovery of a gathering, an operator's word included. */
export function recoveryOfGathering(gathering: Gathering, context: GatheringContext): IncidentRecovery {
  const recovery = recoveryOfIncident(
    {
      fault: gathering.lead,
      symptoms: gathering.symptoms,
      gpuUuids: gpusOf(gathering, context),
      quietMs: gathering.quietMs,
    },
    context.facts,
  );
  const resolvedAt = operatorsWord(gathering, context.resolutions);
  if (resolvedAt === undefined || (recovery.clearedAt !== undefined && recovery.clearedAt <= resolvedAt)) {
    return recovery;
  }
  const ends = [...recovery.clearedAtOf].filter(([, at]) => at !== undefined && at <= resolvedAt);
  return {
    state: 'resolved',
    verifyingSince: undefined,
    clearedAt: resolvedAt,
    lookAgainAt: undefined,
    reason: 'An operator resolved it.',
    clearedAtOf: new Map([...gpusOf(gathering, context).map((gpu) => [gpu, resolvedAt] as const), ...ends]),
  };
}

export function gpusOf(gathering: Gathering, context: GatheringContext): string[] {
  return gathering.lead.scope === 'node' ? [...context.nodeGpus] : [...gathering.gpuUuids];
}

function operatorsWord(
  gathering: Gathering,
  resolutions: readonly OperatorResolution[],
): EpochMs | undefined {
  const openedAt = gathering.symptoms[0]?.ts;
  const isWide = gathering.lead.scope === 'node' || gathering.gpuUuids.size !== 1;
  const isMeant = (one: OperatorResolution) =>
    one.node === gathering.node &&
    gathering.lastSeen.has(one.code) &&
    (one.gpuUuid === '' ? isWide : gathering.lead.scope !== 'node' && gathering.gpuUuids.has(one.gpuUuid));
  const at = resolutions
    .filter(isMeant)
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
  if (end === undefined || at - end < clearingMs(gathering.lead, gathering.quietMs)) return false;
  const clearedAt = recoveryOfGathering(gathering, context).clearedAt;
  return clearedAt !== undefined && clearedAt <= at;
}

/** The incident that the same fault on another GPU of the node began a moment ago. */
function joinCluster(
  open: OpenIncidents,
  cluster: string | undefined,
  of: { readonly symptom: Symptom; readonly context: GatheringContext },
): Gathering | undefined {
  const known = cluster === undefined ? undefined : open.byCluster.get(cluster);
  if (known === undefined || known.symptoms.length === 0) return undefined;
  return isOver(known, of.symptom.ts, of.context) ? undefined : known;
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
    (foldsCodes(symptom.fault) || gathering.leadCode === symptom.code)
  );
}

/** An Xid or SXid fault without a list of codes stands for many: each number is an incident of its own. */
function foldsCodes(fault: Fault): boolean {
  if (fault.each_code) return false;
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

/**
 * `any` means every fault of an event that the policy lists before the consequence. What makes a GPU faulty never hides
 * behind what leaves it unaffected.
 */
function isCauseOf(cause: Fault, consequence: Fault, policy: FaultPolicy): boolean {
  const codes = consequence.follows?.codes;
  if (codes === undefined || cause.code === consequence.code) return false;
  if (cause.health === 'unaffected' && consequence.health !== 'unaffected') return false;
  if (codes !== 'any') return codes.includes(cause.code);
  return 'event' in cause.when && rankOf(cause, policy) < rankOf(consequence, policy);
}

function rankOf(fault: Fault, policy: FaultPolicy): number {
  return policy.faults.findIndex((one) => one.code === fault.code);
}

function begin(symptom: Symptom): Gathering {
  return {
    lead: symptom.fault,
    leadCode: symptom.code,
    node: symptom.node,
    symptoms: [symptom],
    lastSeen: new Map([[symptom.fault.code, symptom.ts]]),
    evidenceEnd: symptom.until,
    quietMs: 0,
    gpuUuids: new Set(symptom.gpuUuid === '' ? [] : [symptom.gpuUuid]),
  };
}

function append(gathering: Gathering, symptom: Symptom): void {
  gathering.symptoms.push(symptom);
  gathering.lastSeen.set(symptom.fault.code, symptom.ts);
  gathering.evidenceEnd = laterEnd(gathering.evidenceEnd, symptom.until);
  if (symptom.gpuUuid !== '') gathering.gpuUuids.add(symptom.gpuUuid);
}

function laterEnd(a: EpochMs | undefined, b: EpochMs | undefined): EpochMs | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a > b ? a : b;
}

/** A cause that is logged just after its consequences takes them over. */
function absorbConsequences(
  cause: Gathering,
  among: { here: readonly Gathering[]; context: GatheringContext },
): void {
  const at = cause.symptoms[0]?.ts ?? 0;
  for (const one of among.here) {
    const within = one.lead.follows?.within ?? -1;
    const opened = one.symptoms[0]?.ts ?? 0;
    if (!isCauseOf(cause.lead, one.lead, among.context.policy) || at - opened > within) continue;
    cause.evidenceEnd = laterEnd(cause.evidenceEnd, one.evidenceEnd);
    cause.symptoms = [...one.symptoms, ...cause.symptoms].sort((a, b) => a.ts - b.ts);
    cause.quietMs = Math.max(cause.quietMs, one.quietMs);
    for (const gpu of one.gpuUuids) cause.gpuUuids.add(gpu);
    for (const [code, ts] of one.lastSeen) {
      const known = cause.lastSeen.get(code);
      if (known === undefined || known < ts) cause.lastSeen.set(code, ts);
    }
    one.symptoms = [];
    one.lastSeen = new Map();
  }
}
