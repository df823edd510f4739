/**
 * The fault monitor's judgement, as a pure function: the same evidence gives the same verdicts, in whatever order, how
 * often and in whatever batches it arrived. It runs live, in replays and in tests.
 */
import { instantFromMs, interval, overlaps, union, type EpochMs, type Interval } from '@poolmeter/domain';
import type { Action, FaultPolicy, Severity } from '../policy/fault-policy.js';
import { policyOfPool } from '../policy/policy-of-pool.js';
import { INFERRED_GAP, symptomsOfAbsence } from './absences.js';
import { symptomsOfRepeats } from './count-repeats.js';
import { FOREVER, type FaultEvidence, type GpuTelemetry, type LeaseEvidence } from './evidence.js';
import {
  gatherIncidents,
  gpusOf,
  recoveryOfGathering,
  type Gathering,
  type GatheringContext,
} from './gather-incidents.js';
import type { FaultIncident, Symptom, VerdictInterval } from './incident.js';
import { compareText, distinctEvents, sightingsOf, symptomOfSighting } from './read-events.js';
import { recoveryFacts } from './recovery.js';
import { symptomsOfSignals } from './signals.js';

export function verdicts(evidence: FaultEvidence, policy: FaultPolicy): FaultIncident[] {
  const incidents = nodesOf(evidence).flatMap((node) =>
    verdictsOfNode(evidenceOfNode(evidence, { node, policy }), policy),
  );
  return incidents.sort(
    (a, b) =>
      a.openedAt - b.openedAt ||
      compareText(a.node, b.node) ||
      compareText(a.code, b.code) ||
      compareText(subjectKey(a), subjectKey(b)),
  );
}

type NodeEvidence = FaultEvidence & { readonly node: string };

function verdictsOfNode(evidence: NodeEvidence, policy: FaultPolicy): FaultIncident[] {
  const symptoms = [
    ...symptomsOfAllEvents(evidence, policy),
    ...symptomsOfAbsence(evidence, policy),
    ...symptomsOfSignals(evidence, policy),
  ];
  const order = new Map(symptoms.map((one, index) => [one, index]));
  symptoms.sort((a, b) => a.ts - b.ts || (order.get(a) ?? 0) - (order.get(b) ?? 0));
  const context: GatheringContext = {
    policy,
    facts: recoveryFacts(evidence, policy),
    resolutions: evidence.resolutions,
    nodeGpus: [...new Set(evidence.telemetry.map((gpu) => gpu.gpuUuid))].sort(compareText),
  };
  return gatherIncidents(symptoms, context).map((one) => incidentOf(one, { context, evidence }));
}

/** Earlier events are counted where a fault is proved by its return; what they were was judged in their own time. */
function symptomsOfAllEvents(evidence: NodeEvidence, policy: FaultPolicy): Symptom[] {
  const inWindow = new Set(evidence.events.map((one) => one.event));
  const sightings = sightingsOf(distinctEvents([...evidence.history, ...evidence.events]), policy);
  const policyOf = (pool: string) => policyOfPool(policy, pool);
  const repeats = symptomsOfRepeats({ sightings, leases: evidence.leases, policyOf });
  const firstAt = evidence.events[0]?.event.ts ?? Infinity;
  return [
    ...sightings.filter((one) => inWindow.has(one.event)).map(symptomOfSighting),
    ...repeats.filter((one) => one.ts >= firstAt),
  ];
}

function incidentOf(
  gathering: Gathering,
  from: { context: GatheringContext; evidence: NodeEvidence },
): FaultIncident {
  const [first] = gathering.symptoms;
  if (first === undefined) throw new Error('Invariant broken: an incident has at least one symptom.');
  const recovery = recoveryOfGathering(gathering, from.context);
  const openedAt = firstEvidenceAt(gathering.symptoms, from.context.policy.telemetry.proof_gap);
  const leading = gathering.symptoms.find((one) => one.fault.code === gathering.lead.code) ?? first;
  const gpuInstance = commonInstance(gathering.symptoms);
  const gpuUuids = gpusOf(gathering, from.context);
  const isWide = gathering.lead.scope === 'gpu' && gpuUuids.length > 1;
  const intervals = gpuUuids.map((gpuUuid): VerdictInterval => {
    const own = isWide ? gathering.symptoms.filter((one) => one.gpuUuid === gpuUuid) : gathering.symptoms;
    const start = firstEvidenceAt(own, from.context.policy.telemetry.proof_gap);
    return { gpuUuid, gpuInstance, start, end: recovery.clearedAtOf.get(gpuUuid) };
  });
  const { clearedAtOf: _clearedAtOf, ...state } = recovery;
  return {
    fault: gathering.lead,
    code: gathering.lead.code,
    title: titleOf(gathering.lead.title, leading.code) + (isWide ? ` (${gpuUuids.length} GPUs)` : ''),
    severity: severityOf(gathering, { openedAt, until: recovery.clearedAt ?? from.evidence.asOf }),
    action: actionOf(gathering),
    node: first.node,
    gpuUuid: isWide ? '' : leading.gpuUuid,
    gpuInstance,
    pciBusId: isWide ? '' : leading.pciBusId,
    pool: leading.pool,
    providerId: leading.providerId,
    demo: gathering.symptoms.some((one) => one.demo),
    ...state,
    lookAgainAt: nextChangeAt(gathering, { openedAt, recovery }),
    openedAt,
    lastEvidenceAt: lastInstant(gathering.symptoms),
    evidence: gathering.symptoms,
    verdicts: intervals,
    affectedLeaseIds: affectedLeases(intervals, from.evidence.leases),
  };
}

function titleOf(title: string, code: number): string {
  return title.replace('{code}', String(code));
}

/** An incident that has been open for long enough is worse than it was. */
function severityOf(gathering: Gathering, span: { openedAt: EpochMs; until: EpochMs }): Severity {
  const { severity, worsens } = gathering.lead;
  return worsens !== undefined && span.until - span.openedAt >= worsens.after ? worsens.severity : severity;
}

function nextChangeAt(
  gathering: Gathering,
  at: { openedAt: EpochMs; recovery: { clearedAt: EpochMs | undefined; lookAgainAt: EpochMs | undefined } },
): EpochMs | undefined {
  const { worsens } = gathering.lead;
  if (worsens === undefined || at.recovery.clearedAt !== undefined) return at.recovery.lookAgainAt;
  return at.recovery.lookAgainAt ?? instantFromMs(at.openedAt + worsens.after);
}

/** By the number that DCGM field 1523 and Xid 154 give. */
const driversActions: readonly (Action | undefined)[] = [
  undefined,
  'reset',
  'reboot',
  'drain_p2p',
  'drain_and_reset',
];

/** The last word of the driver, else what the policy says. */
function actionOf(gathering: Gathering): Action {
  const told = gathering.symptoms.findLast((one) => driversActions[one.recoveryAction] !== undefined);
  return driversActions[told?.recoveryAction ?? 0] ?? gathering.lead.action;
}

/**
 * A gap is measured from the last sample, at which all was still well; the fault came at some time up to the next
 * sample that was due. Evidence with a time of its own in that span says when.
 */
function firstEvidenceAt(symptoms: readonly Symptom[], proofGapMs: number): EpochMs {
  const [first] = symptoms;
  if (first === undefined) throw new Error('Invariant broken: an incident has at least one symptom.');
  const told = symptoms.find((one) => one.kind !== INFERRED_GAP);
  if (first.kind !== INFERRED_GAP || told === undefined || told.ts - first.ts > proofGapMs) return first.ts;
  return told.ts;
}

/** A verdict is about one instance only when all its evidence is. */
function commonInstance(symptoms: readonly Symptom[]): string {
  const [first, ...others] = new Set(symptoms.map((one) => one.gpuInstance));
  return others.length === 0 ? (first ?? '') : '';
}

function lastInstant(symptoms: readonly Symptom[]): EpochMs {
  return symptoms.reduce<EpochMs>(
    (last, one) => (one.ts > last ? one.ts : last),
    symptoms[0]?.ts ?? (0 as EpochMs),
  );
}

function affectedLeases(intervals: readonly VerdictInterval[], leases: readonly LeaseEvidence[]): string[] {
  const affected = leases.filter((lease) =>
    intervals.some((verdict) => concerns(verdict, lease) && overlaps(spanOf(verdict), spanOf(lease))),
  );
  return [...new Set(affected.map((lease) => lease.leaseId))].sort(compareText);
}

function concerns(verdict: VerdictInterval, lease: LeaseEvidence): boolean {
  if (verdict.gpuUuid !== lease.gpuUuid) return false;
  return verdict.gpuInstance === '' || verdict.gpuInstance === lease.gpuInstance;
}

function spanOf(of: { readonly start: EpochMs; readonly end: EpochMs | undefined }) {
  return interval(of.start, of.end ?? FOREVER);
}

function nodesOf(evidence: FaultEvidence): string[] {
  const nodes = new Set<string>();
  for (const { event } of evidence.events) nodes.add(event.node);
  for (const { node } of evidence.telemetry) nodes.add(node);
  for (const { node } of evidence.signals) nodes.add(node);
  return [...nodes].sort(compareText);
}

function evidenceOfNode(evidence: FaultEvidence, of: { node: string; policy: FaultPolicy }): NodeEvidence {
  const { node } = of;
  const telemetry = evidence.telemetry.filter((one) => one.node === node);
  return {
    node,
    asOf: evidence.asOf,
    events: distinctEvents(evidence.events.filter((one) => one.event.node === node)),
    history: evidence.history.filter((one) => one.event.node === node),
    telemetry: mergeTelemetry(telemetry, of.policy.telemetry.proof_gap),
    signals: evidence.signals.filter((one) => one.node === node),
    leases: evidence.leases.filter((one) => one.node === node),
    resolutions: evidence.resolutions.filter((one) => one.node === node),
  };
}

/** One entry per GPU, in one order, however the facts were cut. */
function mergeTelemetry(telemetry: readonly GpuTelemetry[], proofGapMs: number): GpuTelemetry[] {
  const byGpu = new Map<string, GpuTelemetry>();
  for (const one of [...telemetry].sort((a, b) => compareText(JSON.stringify(a), JSON.stringify(b)))) {
    const known = byGpu.get(one.gpuUuid);
    const seen = joinStretches([...(known?.seen ?? []), ...one.seen], proofGapMs);
    const unwell = union([...(known?.unwell ?? []), ...one.unwell]);
    byGpu.set(one.gpuUuid, { ...(known ?? one), seen, unwell });
  }
  return [...byGpu.values()].sort((a, b) => compareText(a.gpuUuid, b.gpuUuid));
}

/** Stretches whose pause is no longer than `gapMs` are one. */
function joinStretches(stretches: readonly Interval[], gapMs: number): Interval[] {
  const joined: Interval[] = [];
  for (const next of [...stretches].sort((a, b) => a.start - b.start || a.end - b.end)) {
    const last = joined.at(-1);
    if (last === undefined || next.start - last.end > gapMs) joined.push(next);
    else if (next.end > last.end) joined[joined.length - 1] = interval(last.start, next.end);
  }
  return joined;
}

function subjectKey(incident: FaultIncident): string {
  return `${incident.gpuUuid}|${incident.gpuInstance}|${incident.pciBusId}|${incident.evidence[0]?.id ?? ''}`;
}
