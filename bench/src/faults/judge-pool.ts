/** 1,000 GPUs over 30 virtual days: what truly broke against what the fault monitor says. */
import { agentEventIdentity, createSampleBuilder, KernelLogEvents } from '@poolmeter/collector';
import {
  defaultPolicyFile,
  loadFaultPolicy,
  verdicts,
  type EventEvidence,
  type FaultIncident,
  type GpuTelemetry,
  type SignalStretch,
} from '@poolmeter/alerts';
import { instantFromMs, interval, parseInstant, type EpochMs, type Interval } from '@poolmeter/domain';
import {
  createSimulatedPool,
  defaultPoolShape,
  gpuModels,
  type FaultKind,
  type FaultRecord,
  type SimulatedPool,
} from '@poolmeter/pool-simulator';
import { parseMetrics } from 'dcgm-exporter-client';
import type { Figures } from '../bench.js';

const NODES = 125;
const NODES_PER_POOL = 5;
const GPUS_PER_NODE = 8;
const DAYS = 30;
const DAY_MS = 86_400_000;
const SCRAPE_MS = 60_000;
/** Around each fault the node is scraped every minute; in between it is taken to be seen and well. */
const BEFORE_MS = 900_000;
const AFTER_MS = 1_800_000;
/** Minutes of a healthy node that are scraped too, so that false incidents have a chance. */
const CONTROL_MS = 4 * 3_600_000;

/** What a fault of each kind should be called. */
const expected: Readonly<Record<FaultKind, readonly string[]>> = {
  xid_79: ['xid-79'],
  xid_94: ['xid-94'],
  xid_63: ['xid-63'],
  xid_48: ['xid-48'],
  xid_13: ['xid-13'],
  xid_31: ['xid-31'],
  thermal_sw: ['gpu-sw-thermal'],
  thermal_hw: ['gpu-hw-throttled'],
  gpu_vanish: ['gpu-lost'],
  exporter_hang: ['node-silent'],
  exporter_error: ['node-silent'],
};

/** What is shorter is no fault by the policy: conditions have to last. */
const shortest: Partial<Record<FaultKind, number>> = {
  thermal_sw: 12 * 60_000,
  thermal_hw: 12 * 60_000,
  gpu_vanish: 6 * 60_000,
  exporter_hang: 6 * 60_000,
  exporter_error: 6 * 60_000,
};

/** True of the GPU as a whole rather than of one fault. */
const derived = new Set([
  'gpu-lemon',
  'xid-13-repeated',
  'xid-31-repeated',
  'row-remap-pending',
  'row-remap-failed',
]);

/** Many small pools take the same faults and a fraction of the time: looking for a place costs by the size of a pool. */
export function judgeSimulatedPool(): Figures {
  const startAt = parseInstant('2026-01-01T00:00:00Z');
  const endAt = instantFromMs(startAt + DAYS * DAY_MS);
  const truth: FaultRecord[] = [];
  const incidents: FaultIncident[] = [];
  for (let index = 0; index < NODES / NODES_PER_POOL; index += 1) {
    const nodes = Array.from({ length: NODES_PER_POOL }, (_, place) => ({
      node: `gpu-${index}-${place}`,
      providerId: 'north',
      gpuModel: gpuModels.h100.name,
      gpus: GPUS_PER_NODE,
      lemon: index % 4 === 0 && place === 2,
    }));
    const shape = { ...defaultPoolShape(), nodes, faultsPerNodeDay: 0.05 };
    const pool = createSimulatedPool({ seed: 20_260_101 + index, startAt, shape });
    pool.advanceTo(endAt);
    const faults = pool.faults();
    truth.push(...faults);
    for (const { node } of nodes) {
      const ofNode = faults.filter((one) => one.node === node);
      incidents.push(
        ...judgeNode(pool, { node, startAt, endAt, truth: ofNode, control: node.endsWith('-4') }),
      );
    }
  }
  return scoreOf(truth, incidents);
}

interface NodeInHand {
  readonly node: string;
  readonly startAt: EpochMs;
  readonly endAt: EpochMs;
  readonly truth: readonly FaultRecord[];
  readonly control: boolean;
}

const policy = loadFaultPolicy(defaultPolicyFile);

function judgeNode(pool: SimulatedPool, of: NodeInHand): FaultIncident[] {
  const reader = scrapeReader(of.node);
  const events: EventEvidence[] = [];
  const spans = windowsOf(of);
  let previous = of.startAt;
  const seen = new Map<string, Interval[]>();
  const note = (gpuUuid: string, stretch: Interval) => {
    const known = seen.get(gpuUuid) ?? [];
    const last = known.at(-1);
    if (last !== undefined && stretch.start - last.end <= policy.telemetry.proof_gap)
      known[known.length - 1] = interval(last.start, stretch.end);
    else known.push(stretch);
    seen.set(gpuUuid, known);
  };
  const signals: SignalStretch[] = [];
  const unwell = new Map<string, Interval[]>();
  for (const span of spans) {
    const first = reader.read(pool, span.start);
    for (const one of first.samples) note(one.gpuUuid, interval(previous, span.start));
    for (let at: number = span.start; at <= span.end; at += SCRAPE_MS) {
      const scraped = at === span.start ? first : reader.read(pool, instantFromMs(at));
      events.push(...scraped.events.map((event) => ({ event })));
      for (const sample of scraped.samples) {
        const minute = interval(instantFromMs(at), instantFromMs(at + SCRAPE_MS));
        note(sample.gpuUuid, interval(instantFromMs(at), instantFromMs(at)));
        signals.push(...signalsOf(sample, minute));
        const isBad = (sample.recoveryAction ?? 0) > 0 || ((sample.rowRemapState ?? 0) & 2) !== 0;
        if (!isBad) continue;
        const known = unwell.get(sample.gpuUuid) ?? [];
        const last = known.at(-1);
        // A defect that is there at the end of one stretch and at the beginning of the next was there in between.
        const isSame = last !== undefined && (at === span.start ? last.end >= previous : last.end === at);
        if (isSame) known[known.length - 1] = interval(last.start, minute.end);
        else known.push(minute);
        unwell.set(sample.gpuUuid, known);
      }
    }
    previous = span.end;
  }
  for (const sample of reader.read(pool, of.endAt).samples)
    note(sample.gpuUuid, interval(previous, of.endAt));
  events.push(...kernelEvents(pool, of));
  const telemetry = [...seen].map(([gpuUuid, stretches]): GpuTelemetry => {
    const facts = { node: of.node, pool: 'main', providerId: 'north', demo: false };
    return { ...facts, gpuUuid, seen: stretches, unwell: unwell.get(gpuUuid) ?? [] };
  });
  return verdicts(
    { asOf: of.endAt, events, history: [], telemetry, signals, leases: [], resolutions: [] },
    policy,
  );
}

/** Time to scrape: around the beginning and the end of every fault, and one stretch of a healthy day on some nodes. */
function windowsOf(of: NodeInHand): Interval[] {
  const wanted = of.truth.flatMap((one) => [
    [one.startedAt - BEFORE_MS, one.startedAt + AFTER_MS] as const,
    [one.endsAt - BEFORE_MS, one.endsAt + AFTER_MS] as const,
  ]);
  if (of.control) wanted.push([of.startAt + 10 * DAY_MS, of.startAt + 10 * DAY_MS + CONTROL_MS]);
  const grid = (ms: number) =>
    instantFromMs(
      Math.floor(Math.min(Math.max(ms, of.startAt), of.endAt - SCRAPE_MS) / SCRAPE_MS) * SCRAPE_MS,
    );
  const windows: Interval[] = [];
  for (const [from, to] of wanted.sort((a, b) => a[0] - b[0])) {
    const last = windows.at(-1);
    const next = interval(grid(from), grid(to));
    if (last === undefined || next.start > last.end) windows.push(next);
    else if (next.end > last.end) windows[windows.length - 1] = interval(last.start, next.end);
  }
  return windows;
}

/** A scrape as the collector reads it. An exporter that gives nothing gives no sample. */
function scrapeReader(node: string) {
  const builder = createSampleBuilder({
    node,
    fallbackNode: node,
    pool: 'main',
    providerId: 'north',
    identity: agentEventIdentity('bench', 1n),
  });
  return {
    read(pool: SimulatedPool, at: EpochMs) {
      const outcome = pool.scrape(node, at);
      if (outcome.kind !== 'text') return { samples: [], events: [] };
      const { readings } = parseMetrics(Buffer.from(outcome.text));
      return builder.samplesFrom(readings, { ts: at, ingestedAt: at });
    },
  };
}

type Sample = ReturnType<ReturnType<typeof createSampleBuilder>['samplesFrom']>['samples'][number];

/** What the query finds in minutes, found in the one sample that a minute has here. */
function signalsOf(sample: Sample, during: Interval): SignalStretch[] {
  const { node, gpuUuid, gpuInstance } = sample;
  const place = { node, gpuUuid, gpuInstance, during };
  const reasons = sample.throttleReasons ?? 0;
  return [
    ...((reasons & 0xc8) === 0 ? [] : [{ ...place, signal: 'hw_throttled_ratio' as const, extreme: 1 }]),
    ...((reasons & 0x20) === 0
      ? []
      : [{ ...place, signal: 'sw_thermal_throttled_ratio' as const, extreme: 1 }]),
    ...((sample.temperatureCelsius ?? 0) < 90
      ? []
      : [{ ...place, signal: 'temperature_celsius' as const, extreme: sample.temperatureCelsius ?? 0 }]),
    ...((sample.recoveryAction ?? 0) === 0
      ? []
      : [{ ...place, signal: 'recovery_action' as const, extreme: sample.recoveryAction ?? 0 }]),
  ];
}

function kernelEvents(pool: SimulatedPool, of: NodeInHand): EventEvidence[] {
  const log = new KernelLogEvents({
    node: of.node,
    pool: 'main',
    providerId: 'north',
    bootId: 'boot',
    // A slot may get another board: which one a line means is found by the events of the scrapes, as of that time.
    findGpu: () => undefined,
    nameInstance: (_gpuUuid, instanceId) => `${instanceId}/0`,
  });
  const lines = pool.kernelLines(of.node, of.startAt, of.endAt);
  return log.eventsFrom(lines, of.endAt).map((event) => ({ event }));
}

interface Score {
  truth: number;
  found: number;
  told: number;
  right: number;
}

/** An incident is right when a fault of its kind was there at the time; a fault is found when an incident says so. */
function scoreOf(truth: readonly FaultRecord[], incidents: readonly FaultIncident[]): Figures {
  const scores = new Map<string, Score>();
  const scoreFor = (name: string) => {
    const known = scores.get(name) ?? { truth: 0, found: 0, told: 0, right: 0 };
    scores.set(name, known);
    return known;
  };
  for (const fault of truth) {
    if (fault.endsAt - fault.startedAt < (shortest[fault.kind] ?? 0)) continue;
    const score = scoreFor(fault.kind);
    score.truth += 1;
    if (incidents.some((one) => expected[fault.kind].includes(one.code) && isAbout(one, fault)))
      score.found += 1;
    else
      process.stderr.write(
        `missed ${fault.kind} ${fault.node} ${iso(fault.startedAt)} to ${iso(fault.endsAt)}\n`,
      );
  }
  let wrong = 0;
  for (const incident of incidents.filter((one) => !derived.has(one.code))) {
    const cause = truth.find(
      (fault) => expected[fault.kind].includes(incident.code) && isAbout(incident, fault),
    );
    const sympathetic = cause ?? truth.find((fault) => isAbout(incident, fault));
    const score = scoreFor(cause?.kind ?? `other ${incident.code}`);
    score.told += 1;
    if (sympathetic === undefined) {
      wrong += 1;
      process.stderr.write(
        `false ${incident.code} ${incident.node} ${incident.gpuUuid} ${iso(incident.openedAt)}\n`,
      );
    } else score.right += 1;
  }
  const sum = (pick: (score: Score) => number) =>
    [...scores.values()].reduce((all, one) => all + pick(one), 0);
  const perKind = [...scores].flatMap(([kind, one]) =>
    one.truth === 0
      ? []
      : [
          [`recall_${kind}`, one.found / one.truth],
          [`precision_${kind}`, one.told === 0 ? 1 : one.right / one.told],
        ],
  );
  return {
    faults_log: sum((one) => one.truth),
    precision_log:
      sum((one) => one.right) /
      Math.max(
        1,
        sum((one) => one.told),
      ),
    recall_log:
      sum((one) => one.found) /
      Math.max(
        1,
        sum((one) => one.truth),
      ),
    false_per_1000_gpu_days: wrong / ((NODES * GPUS_PER_NODE * DAYS) / 1_000),
    ...(Object.fromEntries(perKind) as Figures),
  };
}

/** At the same place, and within the time in which a fault shows. */
function isAbout(incident: FaultIncident, fault: FaultRecord): boolean {
  if (incident.node !== fault.node) return false;
  const gpus = incident.verdicts.map((one) => one.gpuUuid);
  if (fault.gpuUuid !== '' && incident.fault.scope === 'gpu' && !gpus.includes(fault.gpuUuid)) return false;
  return (
    incident.openedAt <= fault.endsAt + AFTER_MS &&
    (incident.clearedAt ?? Infinity) >= fault.startedAt - SCRAPE_MS
  );
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
