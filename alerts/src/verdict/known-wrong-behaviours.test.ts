/** What users of other monitors complain about, each as a case that must not happen here. Sources stand beside them. */
import { describe, expect, it } from 'vitest';
import { defaultPolicyFile, loadFaultPolicy } from '../policy/load-policy.js';
import type { EventEvidence, FaultEvidence } from './evidence.js';
import {
  at,
  evidenceOf,
  GPU,
  happens,
  msAfter,
  OTHER_GPU,
  seenDuring,
  signal,
  xid,
} from './evidence-in-words.js';
import { healthOfGpus } from './gpu-health.js';
import { verdicts } from './verdicts.js';

const policy = loadFaultPolicy(defaultPolicyFile);
const wholeDay = (gpu = GPU) => seenDuring(gpu, [['00:00', '23:00']]);
const judge = (facts: Partial<FaultEvidence>) =>
  verdicts(evidenceOf({ asOf: at('23:00'), ...facts }), policy);
const codes = (facts: Partial<FaultEvidence>) => judge(facts).map((one) => `${one.code} ${one.state}`);
const stateOf = (facts: Partial<FaultEvidence>) => {
  const evidence = evidenceOf({ asOf: at('23:00'), ...facts });
  const found = healthOfGpus({ ...evidence, unseenAfterMs: 180_000 }, verdicts(evidence, policy));
  return found.find((one) => one.gpuUuid === GPU)?.state;
};

describe('a sticky Xid (dcgm-exporter 500, DCGM 277)', () => {
  it('does not stay faulty because an exporter latched the number: only lines count, and they clear', () => {
    const facts = { events: [xid('10:00', 94)], telemetry: [wholeDay()] };
    expect(codes(facts)).toEqual(['xid-94 resolved']);
    expect(stateOf(facts)).toBe('healthy');
  });

  it('is cleared by the reboot that mended it', () => {
    const events = [xid('10:00', 48), happens('10:20', { kind: 'driver.restarted', gpuUuid: '' })];
    expect(stateOf({ events, telemetry: [wholeDay()] })).toBe('healthy');
  });
});

describe('a repeat of the same code (dcgm-exporter 190)', () => {
  it('is seen: a second Xid 94 hours later is a second incident', () => {
    const events = [xid('10:00', 94), xid('14:00', 94)];
    expect(codes({ events, telemetry: [wholeDay()] })).toEqual(['xid-94 resolved', 'xid-94 resolved']);
  });

  it('is counted while the first is open', () => {
    const events = [xid('10:00', 95), xid('14:00', 95)];
    const [incident] = judge({ events, telemetry: [wholeDay()] });
    expect(incident).toMatchObject({ state: 'open', lastEvidenceAt: at('14:00') });
    expect(incident?.evidence).toHaveLength(2);
  });
});

describe('Healthy while a recovery action is asked for (DCGM 263)', () => {
  const wanted = {
    telemetry: [
      seenDuring(GPU, [['00:00', '23:00']], {
        unwell: [{ start: at('12:00'), end: msAfter(at('23:00'), 1) }],
      }),
    ],
    signals: [signal('recovery_action', ['12:00', '23:00'], { extreme: 2 })],
  };

  it('does not happen, and the action is the one that the GPU asks for', () => {
    expect(judge(wanted)[0]).toMatchObject({ code: 'gpu-recovery-wanted', state: 'open', action: 'reboot' });
    expect(stateOf(wanted)).toBe('faulty');
  });

  it('does not happen behind an Xid that by itself leaves the GPU healthy either', () => {
    expect(codes({ ...wanted, events: [xid('11:59:30', 63)] })).toEqual([
      'xid-63 open',
      'gpu-recovery-wanted open',
    ]);
    expect(stateOf({ ...wanted, events: [xid('11:59:30', 31)] })).toBe('faulty');
  });

  it('is one incident with the Xid that explains it', () => {
    const [incident, ...others] = judge({ ...wanted, events: [xid('11:59:30', 48)] });
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ code: 'xid-48', action: 'reboot' });
  });
});

describe('a monitor that its own node drowns (NVSentinel 1748, 1447)', () => {
  const storm = (code: number, lines: number): EventEvidence[] =>
    Array.from({ length: lines }, (_, index) => {
      const one = xid('10:00', code, { sequence: BigInt(index) });
      return { event: { ...one.event, ts: msAfter(one.event.ts, index * 20) } };
    });

  it('makes one incident of 11,000 lines, with the true count, in well under a second', () => {
    const from = performance.now();
    const [incident, ...others] = judge({ events: storm(45, 11_000), telemetry: [wholeDay()] });
    expect(performance.now() - from).toBeLessThan(1_000);
    expect(others).toEqual([]);
    expect(incident?.evidence).toHaveLength(11_000);
  });

  it('still sees a fatal line in the middle of the storm', () => {
    const events = [...storm(45, 11_000), xid('10:01', 79, { gpuUuid: OTHER_GPU, sequence: 99_999n })];
    expect(codes({ events, telemetry: [wholeDay(), wholeDay(OTHER_GPU)] })).toEqual([
      'xid-45 expired',
      'xid-79 open',
    ]);
  });

  it('damps a fault that flaps all day: one incident, over once it has been quiet for half an hour', () => {
    const minutes = Array.from({ length: 40 }, (_, index) => index * 12);
    const signals = minutes.map((minute) => {
      const stretch = signal('temperature_celsius', ['10:00', '10:05']);
      const during = {
        start: msAfter(at('10:00'), minute * 60_000),
        end: msAfter(at('10:05'), minute * 60_000),
      };
      return { ...stretch, during };
    });
    const found = judge({ signals, telemetry: [wholeDay()] });
    // Three by themselves, at 10:00, 10:12 and 10:24; the fourth shows that it flaps and takes all that follow.
    expect(found.map((one) => one.evidence.length)).toEqual([1, 1, 1, 37]);
    expect(found.at(-1)).toMatchObject({
      state: 'resolved',
      clearedAt: msAfter(at('10:05'), 39 * 12 * 60_000),
    });
  });
});

describe('old faults that age out before the reboot (gpud 1212)', () => {
  it('do not: what asks for a reset stays open until one was seen, however old it is', () => {
    const old = xid('00:10', 79);
    const ts = msAfter(old.event.ts, -60 * 86_400_000);
    const events = [{ event: { ...old.event, ts } }];
    expect(codes({ events, telemetry: [] })).toEqual(['xid-79 open']);
  });

  it('are cleared by the reboot that comes at last', () => {
    const events = [xid('00:10', 119), xid('22:00', 92, { bootId: 'boot-2' })];
    expect(codes({ events, telemetry: [wholeDay()] })).toEqual(['xid-119 resolved', 'xid-92 expired']);
  });
});

describe('and the others', () => {
  it('a software power cap under load is no fault (NVSentinel 1447)', () => {
    expect(policy.faults.some((one) => one.code.includes('power-cap'))).toBe(false);
    expect(codes({ telemetry: [wholeDay()] })).toEqual([]);
  });

  it('a GPU that vanished while its node talks is noticed (dcgm-exporter 348)', () => {
    const telemetry = [seenDuring(GPU, [['00:00', '12:00']]), wholeDay(OTHER_GPU)];
    expect(codes({ telemetry })).toEqual(['gpu-lost open']);
    expect(stateOf({ telemetry })).toBe('lost');
  });

  it('an exporter that answers nothing is no fault of its GPUs (dcgm-exporter 605)', () => {
    const telemetry = [seenDuring(GPU, [['00:00', '12:00']]), seenDuring(OTHER_GPU, [['00:00', '12:00']])];
    expect(judge({ telemetry })[0]).toMatchObject({ code: 'node-silent', severity: 'critical' });
    expect(stateOf({ telemetry })).toBe('unknown');
    const early = judge({ telemetry, asOf: at('12:10') });
    expect(early[0]).toMatchObject({ severity: 'warn', lookAgainAt: at('12:30') });
  });

  it('a GPU returns to service only after telemetry has proved it (NVSentinel 1427)', () => {
    const events = [xid('10:00', 119), happens('10:20', { kind: 'driver.restarted', gpuUuid: '' })];
    const until = (time: string) =>
      stateOf({ events, telemetry: [seenDuring(GPU, [['00:00', time]])], asOf: at(time) });
    expect(until('10:24')).toBe('verifying');
    expect(until('10:25')).toBe('healthy');
  });

  it('a fabric that is down is told for as long as it is (NVSentinel 889)', () => {
    const told = (time: string, value: number) =>
      happens(time, { kind: 'gpu.condition', detail: { signal: 'fabric_unready', value } });
    const telemetry = [wholeDay()];
    expect(codes({ events: [told('10:00', 1)], telemetry })).toEqual(['fabric-down open']);
    expect(codes({ events: [told('10:00', 1), told('20:00', 0)], telemetry })).toEqual([
      'fabric-down resolved',
    ]);
  });
});
