import { instantFromMs, interval } from '@poolmeter/domain';
import { gpuEventKinds, type GpuEvent } from '@poolmeter/telemetry-schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultPolicyFile, loadFaultPolicy } from '../policy/load-policy.js';
import { eventId, type EventEvidence, type FaultEvidence, type GpuTelemetry } from './evidence.js';
import { at } from './evidence-in-words.js';
import { healthOfGpus } from './gpu-health.js';
import type { FaultIncident } from './incident.js';
import { verdicts } from './verdicts.js';

const policy = loadFaultPolicy(defaultPolicyFile);
const start = at('00:00');
const DAY_MS = 86_400_000;
const instant = fc.integer({ min: 0, max: DAY_MS / 500 }).map((half) => instantFromMs(start + half * 500));
const node = fc.constantFrom('gpu-01', 'gpu-02');
const gpuOf = (name: string, index: number) => `GPU-${name}-${index}`;

const event: fc.Arbitrary<EventEvidence> = fc
  .record({
    ts: instant,
    node,
    index: fc.integer({ min: 0, max: 2 }),
    kind: fc.oneof({ weight: 4, arbitrary: fc.constant('xid' as const) }, fc.constantFrom(...gpuEventKinds)),
    code: fc.constantFrom(13, 31, 43, 45, 45, 45, 48, 63, 64, 74, 79, 92, 94, 95, 109, 119, 154, 136, 137),
    bootId: fc.constantFrom('boot-1', 'boot-2'),
    sequence: fc.bigInt({ min: 0n, max: 50n }),
  })
  .map(({ index, ...facts }): EventEvidence => {
    const whole: GpuEvent = {
      ...facts,
      gpuUuid: facts.kind.startsWith('source.') ? '' : gpuOf(facts.node, index),
      gpuInstance: '',
      pool: 'main',
      providerId: 'north',
      message: `line ${facts.sequence}`,
      detail: {},
      demo: false,
    };
    return { event: whole };
  });

const stretches = fc
  .array(fc.tuple(instant, fc.integer({ min: 0, max: 4 * 3_600_000 })), { maxLength: 5 })
  .map((list) =>
    list.map(([from, ms]) => interval(from, instantFromMs(Math.min(from + ms, start + DAY_MS)))),
  );

const telemetry: fc.Arbitrary<GpuTelemetry> = fc
  .record({ node, index: fc.integer({ min: 0, max: 2 }), seen: stretches, unwell: stretches })
  .map(({ index, ...facts }) => {
    return { ...facts, gpuUuid: gpuOf(facts.node, index), pool: 'main', providerId: 'north', demo: false };
  });

const evidence: fc.Arbitrary<FaultEvidence> = fc
  .record({
    events: fc.array(event, { maxLength: 40 }),
    telemetry: fc.array(telemetry, { maxLength: 8 }),
    signals: fc.array(
      fc.record({
        signal: fc.constantFrom(
          'temperature_celsius' as const,
          'activity_ratio' as const,
          'recovery_action' as const,
        ),
        node,
        during: stretches.map((l) => l[0] ?? interval(start, start)),
      }),
      { maxLength: 4 },
    ),
  })
  .map((facts) => ({
    events: facts.events,
    history: [],
    telemetry: facts.telemetry,
    signals: facts.signals.map((one) => ({
      ...one,
      gpuUuid: gpuOf(one.node, 0),
      gpuInstance: '',
      extreme: 1,
    })),
    leases: [
      { leaseId: 'l', node: 'gpu-01', gpuUuid: gpuOf('gpu-01', 0), gpuInstance: '', start, end: undefined },
    ],
    resolutions: [],
    asOf: instantFromMs(start + DAY_MS),
  }));

/** What matters to readers; the evidence by identity. */
const essence = (incidents: readonly FaultIncident[]) =>
  incidents.map(({ fault, evidence: symptoms, ...rest }) => ({
    ...rest,
    code: fault.code,
    evidence: symptoms.map((one) => one.id),
  }));

describe('verdicts', () => {
  it('do not depend on the order of the evidence, on repeats, or on how it was cut into pieces', () => {
    const shuffled = evidence.chain((one) =>
      fc
        .record({
          events: fc.shuffledSubarray([...one.events, ...one.events], { minLength: one.events.length * 2 }),
          telemetry: fc.shuffledSubarray([...one.telemetry, ...one.telemetry.flatMap(inHalves)], {
            minLength: one.telemetry.length * 3,
          }),
          signals: fc.shuffledSubarray([...one.signals, ...one.signals], {
            minLength: one.signals.length * 2,
          }),
        })
        .map((other) => ({ one, other: { ...one, ...other } })),
    );
    fc.assert(
      fc.property(shuffled, ({ one, other }) => {
        const expected = verdicts(one, policy);
        const found = verdicts(other, policy);
        expect(essence(found)).toEqual(essence(expected));
        const states = (of: FaultEvidence, incidents: FaultIncident[]) =>
          healthOfGpus({ ...of, unseenAfterMs: 180_000 }, incidents).map(({ gpuUuid, state, since }) => ({
            gpuUuid,
            state,
            since,
          }));
        expect(states(other, found)).toEqual(states(one, expected));
      }),
      { numRuns: 300 },
    );
  });

  it('put each fault event into exactly one incident, and end no interval before it starts or after the evidence', () => {
    fc.assert(
      fc.property(evidence, (one) => {
        const found = verdicts(one, policy);
        const ids = found.flatMap((incident) => incident.evidence.map((symptom) => symptom.id));
        expect(new Set(ids).size).toBe(ids.length);
        const xids = new Set(
          one.events.filter(({ event: e }) => e.kind === 'xid').map(({ event: e }) => eventId(e)),
        );
        expect([...xids].filter((id) => !ids.includes(id))).toEqual([]);
        for (const incident of found) {
          expect(incident.lastEvidenceAt).toBeGreaterThanOrEqual(incident.openedAt);
          if (incident.clearedAt === undefined) continue;
          expect(incident.clearedAt).toBeGreaterThanOrEqual(incident.openedAt);
          expect(incident.clearedAt).toBeLessThanOrEqual(one.asOf);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('never have two open incidents of one fault on one GPU at once', () => {
    fc.assert(
      fc.property(evidence, (one) => {
        const byFault = new Map<string, FaultIncident[]>();
        for (const incident of verdicts(one, policy)) {
          const key = `${incident.node}|${incident.gpuUuid}|${incident.title}`;
          byFault.set(key, [...(byFault.get(key) ?? []), incident]);
        }
        for (const incidents of byFault.values()) {
          for (const [index, later] of incidents.entries()) {
            const earlier = incidents[index - 1];
            if (earlier === undefined) continue;
            expect(earlier.clearedAt ?? Infinity).toBeLessThanOrEqual(later.evidence[0]?.ts ?? 0);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The same stretches of one GPU, told in two pieces. */
function inHalves(gpu: GpuTelemetry): GpuTelemetry[] {
  const [first, ...rest] = gpu.seen;
  if (first === undefined) return [gpu, gpu];
  const middle = instantFromMs(first.start + Math.floor((first.end - first.start) / 2));
  return [
    { ...gpu, seen: [interval(first.start, middle)] },
    { ...gpu, seen: [interval(middle, first.end), ...rest] },
  ];
}
