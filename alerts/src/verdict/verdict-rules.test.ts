/** Rules of the policy language beyond one line on one GPU: returns, several GPUs, sticky faults, pools. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { defaultPolicyFile, loadFaultPolicy, parseFaultPolicy } from '../policy/load-policy.js';
import type { EventEvidence, FaultEvidence, LeaseEvidence } from './evidence.js';
import {
  at,
  evidenceOf,
  GPU,
  happens,
  lease,
  NODE,
  OTHER_GPU,
  seenDuring,
  signal,
  xid,
} from './evidence-in-words.js';
import type { FaultIncident } from './incident.js';
import { verdicts } from './verdicts.js';

const policy = loadFaultPolicy(defaultPolicyFile);
const wholeDay = (gpu = GPU) => seenDuring(gpu, [['00:00', '23:00']]);
const judge = (facts: Partial<FaultEvidence>, by = policy) =>
  verdicts(evidenceOf({ asOf: at('23:00'), telemetry: [wholeDay(), wholeDay(OTHER_GPU)], ...facts }), by);
const codes = (incidents: readonly FaultIncident[]) => incidents.map((one) => one.code);

describe('Xid 13 and 31 that come again', () => {
  const place = (gpc: number, tpc: number) => ({ detail: { gpc, tpc, sm: 0 } });
  const jobs: LeaseEvidence[] = [lease('job-1', '08:00', '11:00'), lease('job-2', '11:00', '16:00')];

  it.each<[string, EventEvidence[], boolean]>([
    ['once', [xid('10:00', 13, place(1, 2))], false],
    ['in one burst', [xid('10:00:00', 13, place(1, 2)), xid('10:00:01', 13, place(1, 2))], false],
    ['twice in one job', [xid('10:00', 13, place(1, 2)), xid('10:30', 13, place(1, 2))], false],
    [
      'in two jobs at one place of the chip',
      [xid('10:00', 13, place(1, 2)), xid('12:00', 13, place(1, 2))],
      true,
    ],
    [
      'in two jobs at different places',
      [xid('10:00', 13, place(1, 2)), xid('12:00', 13, place(1, 3))],
      false,
    ],
    ['in two jobs without a place', [xid('10:00', 13), xid('12:00', 13)], false],
    [
      'in two jobs and on another GPU too: the program',
      [
        xid('10:00', 13, place(1, 2)),
        xid('11:30', 13, { gpuUuid: OTHER_GPU, ...place(0, 0) }),
        xid('12:00', 13, place(1, 2)),
      ],
      false,
    ],
    ['31 in two jobs', [xid('10:00', 31), xid('12:00', 31)], true],
    [
      '31 in two jobs and on another GPU too',
      [xid('10:00', 31), xid('12:00', 31), xid('12:00:30', 31, { gpuUuid: OTHER_GPU })],
      false,
    ],
  ])('%s', (_name, events, isHardware) => {
    const found = judge({ events, leases: jobs }).filter((one) => one.code.endsWith('-repeated'));
    expect(found.map((one) => `${one.fault.blame} ${one.fault.billing_class}`)).toEqual(
      isHardware ? ['hardware H'] : [],
    );
  });

  it('counts what happened before the window that is judged, and opens nothing for it', () => {
    const history = [xid('03:00', 31, { detail: { pid: 11 } })];
    const events = [xid('10:00', 31, { detail: { pid: 22 } })];
    expect(codes(judge({ history, events }))).toEqual(['xid-31', 'xid-31-repeated']);
    expect(judge({ history, events })[1]?.openedAt).toBe(at('10:00'));
  });
});

describe('a lemon', () => {
  it('is a GPU with one hardware Xid in five bursts of a day, not in four', () => {
    const bursts = ['01:00', '05:00', '09:00', '13:00', '17:00'].map((time) => xid(time, 94));
    expect(codes(judge({ events: bursts.slice(1) }))).not.toContain('gpu-lemon');
    const lemon = judge({ events: bursts }).find((one) => one.code === 'gpu-lemon');
    expect(lemon).toMatchObject({ openedAt: at('17:00'), state: 'open', action: 'replace' });
  });

  it('is sticky: only an operator, or another board in its slot, ends it', () => {
    const events = ['01:00', '05:00', '09:00', '13:00', '17:00'].map((time) => xid(time, 94));
    const lemon = (facts: Partial<FaultEvidence>) =>
      judge({ events, ...facts }).find((one) => one.code === 'gpu-lemon');
    const resolutions = [{ node: NODE, gpuUuid: GPU, code: 'gpu-lemon', at: at('18:00') }];
    expect(lemon({ resolutions })).toMatchObject({ state: 'resolved', clearedAt: at('18:00') });
    const slot = { pci_bus_id: '00000000:3B:00.0' };
    const swapped = [
      ...events,
      happens('00:30', { kind: 'gpu.appeared', detail: slot }),
      happens('19:00', { kind: 'gpu.appeared', gpuUuid: 'GPU-new', detail: slot }),
    ];
    expect(lemon({ events: swapped })).toMatchObject({
      clearedAt: at('19:00'),
      reason: 'Another board took its place.',
    });
  });
});

describe('one fault on several GPUs of a node', () => {
  const events = [
    xid('10:00:00', 74),
    xid('10:00:20', 74, { gpuUuid: OTHER_GPU }),
    xid('10:00:30', 45, { gpuUuid: OTHER_GPU }),
    happens('10:10', { kind: 'counter.reset' }),
    happens('12:00', { kind: 'counter.reset', gpuUuid: OTHER_GPU }),
  ];

  it('is one incident with its GPUs, each from its own first line to its own proof', () => {
    const [incident, ...others] = judge({ events });
    expect(others).toEqual([]);
    expect(incident).toMatchObject({
      code: 'xid-74',
      gpuUuid: '',
      title: 'NVLink error (2 GPUs)',
      clearedAt: at('12:05'),
    });
    expect(incident?.evidence).toHaveLength(3);
    expect(incident?.verdicts).toEqual([
      { gpuUuid: GPU, gpuInstance: '', start: at('10:00:00'), end: at('10:15') },
      { gpuUuid: OTHER_GPU, gpuInstance: '', start: at('10:00:20'), end: at('12:05') },
    ]);
  });

  it('is open while one of them is', () => {
    const [incident] = judge({ events: events.slice(0, 4) });
    expect(incident).toMatchObject({ state: 'open', clearedAt: undefined });
    expect(incident?.verdicts.map((one) => one.end)).toEqual([at('10:15'), undefined]);
  });

  it('is two incidents when they are minutes apart', () => {
    const apart = [xid('10:00', 74), xid('10:05', 74, { gpuUuid: OTHER_GPU })];
    expect(codes(judge({ events: apart }))).toEqual(['xid-74', 'xid-74']);
  });

  it('belongs to the switch between them where that says it first or last', () => {
    const fatal = happens('10:00:10', {
      kind: 'sxid',
      code: 20_034,
      gpuUuid: '',
      detail: { severity: 'fatal' },
    });
    const [incident, ...others] = judge({
      events: [xid('10:00:00', 74), fatal, xid('10:00:20', 74, { gpuUuid: OTHER_GPU })],
    });
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ code: 'sxid-fatal' });
    expect(incident?.verdicts.map((one) => one.gpuUuid)).toEqual([GPU, OTHER_GPU]);
  });
});

describe('a sticky fault inside another incident', () => {
  it('keeps it open: Xid 48 with 64 is not over with a reset', () => {
    const events = [
      xid('10:00:00', 48),
      xid('10:00:01', 64),
      happens('10:20', { kind: 'driver.restarted', gpuUuid: '' }),
    ];
    expect(judge({ events })).toMatchObject([{ code: 'xid-48', state: 'open' }]);
  });
});

describe('policies of pools', () => {
  const text = readFileSync(defaultPolicyFile, 'utf8');
  const withPools = (pools: string) => parseFaultPolicy(`${text}\npools:\n${pools}`, 'test.yaml');
  const here = { telemetry: [seenDuring(GPU, [['00:00', '23:00']], { pool: 'spot-1' })] };

  it('turns a fault off, or judges it otherwise, in the pools that match', () => {
    const spot = withPools(
      "  - { match: ['spot-*'], faults: [{ code: xid-94, billing_class: B, severity: warn }, { code: gpu-hot, off: true }] }",
    );
    const facts = {
      events: [xid('10:00', 94, { pool: 'spot-1' }), xid('15:00', 94)],
      signals: [signal('temperature_celsius', ['12:00', '13:00'])],
      ...here,
    };
    expect(judge(facts, spot).map((one) => `${one.code} ${one.fault.billing_class} ${one.severity}`)).toEqual(
      ['xid-94 B warn', 'xid-94 C critical'],
    );
    expect(codes(judge(facts))).toEqual(['xid-94', 'gpu-hot', 'xid-94']);
  });

  it('changes how long a signal has to last', () => {
    const patient = withPools("  - { match: ['spot-*'], faults: [{ code: gpu-hot, for: 2h }] }");
    const signals = [signal('temperature_celsius', ['12:00', '13:00'])];
    expect(codes(judge({ signals, ...here }, patient))).toEqual([]);
  });

  it('is refused where it names what is not there', () => {
    expect(() => withPools("  - { match: ['a'], faults: [{ code: xid-1000 }] }")).toThrow(
      'xid-1000 is not a fault here',
    );
    expect(() => withPools("  - { match: ['a'], faults: [{ code: xid-94, limit: 3 }] }")).toThrow(
      'xid-94 has no limit',
    );
  });
});
