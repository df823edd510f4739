import { formatInstant, type EpochMs } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { defaultPolicyFile, loadFaultPolicy } from '../policy/load-policy.js';
import type { EventEvidence, FaultEvidence } from './evidence.js';
import {
  at,
  evidenceOf,
  GPU,
  happens,
  lease,
  msAfter,
  NODE,
  OTHER_GPU,
  seenDuring,
  signal,
  xid,
} from './evidence-in-words.js';
import { healthOfGpus } from './gpu-health.js';
import type { FaultIncident } from './incident.js';
import { verdicts } from './verdicts.js';

const policy = loadFaultPolicy(defaultPolicyFile);
const time = (instant: EpochMs | undefined) =>
  instant === undefined ? 'open' : formatInstant(instant).slice('2026-03-02T'.length, -1);

/** One line per incident: what a shift lead would write on the board. */
function board(incidents: readonly FaultIncident[]): string[] {
  return incidents.map((one) => {
    const span = `${time(one.openedAt)} to ${time(one.clearedAt)}`;
    return `${one.code} ${one.state} ${span} ${one.fault.billing_class} ${one.fault.blame} x${one.evidence.length}`;
  });
}

const judge = (facts: Partial<FaultEvidence> & { asOf?: EpochMs }) =>
  verdicts(evidenceOf({ asOf: at('23:00'), ...facts }), policy);

const wholeDay = (gpu: string) => seenDuring(gpu, [['00:00', '23:00']]);

describe('the worked example xid 79', () => {
  const evidence = {
    events: [
      xid('10:40:00.250', 79, { message: 'NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.' }),
    ],
    telemetry: [
      seenDuring(GPU, [
        ['09:00:00.250', '10:39:50.250'],
        ['11:05:00.250', '12:00:00.250'],
      ]),
      wholeDay(OTHER_GPU),
    ],
    leases: [lease('lease-1', '10:00', '12:00')],
    asOf: at('12:00:05'),
  };

  it('credits exactly from the kernel line to the instant at which the GPU was verified healthy', () => {
    const [incident, ...others] = judge(evidence);
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ code: 'xid-79', state: 'resolved', affectedLeaseIds: ['lease-1'] });
    expect(incident?.fault).toMatchObject({ billing_class: 'C', blame: 'hardware' });
    expect(incident?.verdicts).toEqual([
      { gpuUuid: GPU, gpuInstance: '', start: at('10:40:00.250'), end: at('11:10:00.250') },
    ]);
    expect(incident?.evidence.map((one) => one.message)).toEqual([
      'The GPU gave no sample after this instant.',
      'NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.',
    ]);
  });

  it('is open while the GPU is away, verifying while it proves itself, resolved at the instant of the proof', () => {
    const until = (asOf: string, lastSample?: string) =>
      judge({
        ...evidence,
        asOf: at(asOf),
        telemetry: [
          seenDuring(GPU, [
            ['09:00:00.250', '10:39:50.250'],
            ...(lastSample === undefined ? [] : [['11:05:00.250', lastSample] as const]),
          ]),
          seenDuring(OTHER_GPU, [['00:00', asOf]]),
        ],
      })[0];
    expect(until('10:50')).toMatchObject({ state: 'open', clearedAt: undefined });
    expect(until('11:09:59', '11:09:50.250')).toMatchObject({
      state: 'verifying',
      verifyingSince: at('11:05:00.250'),
      lookAgainAt: at('11:10:00.250'),
    });
    expect(until('11:10:01', '11:10:00.250')).toMatchObject({
      state: 'resolved',
      clearedAt: at('11:10:00.250'),
    });
  });

  it('is one incident when the collector tells of the loss and the driver writes its second line', () => {
    const events = [
      ...evidence.events,
      happens('10:40:00.250', {
        kind: 'gpu.fallen_off_bus',
        message: 'NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.',
      }),
      happens('10:40:10.250', { kind: 'gpu.lost' }),
      happens('11:05:00.250', { kind: 'gpu.appeared' }),
    ];
    expect(board(judge({ ...evidence, events }))).toEqual([
      'xid-79 resolved 10:40:00.250 to 11:10:00.250 C hardware x3',
    ]);
  });
});

interface Story {
  readonly name: string;
  readonly evidence: Partial<FaultEvidence> & { asOf?: EpochMs };
  readonly board: readonly string[];
}

const burst = (code: number, times: number): EventEvidence[] =>
  Array.from({ length: times }, (_, index) => {
    const one = xid('10:00:00.500', code, { sequence: BigInt(1_000 + index) });
    return { event: { ...one.event, ts: msAfter(one.event.ts, index * 10) } };
  });

const stories: readonly Story[] = [
  {
    name: 'the line "fallen off the bus" has no number: whatever stands there, it is one incident',
    evidence: {
      events: [
        happens('10:00', { kind: 'gpu.fallen_off_bus', code: 13, sequence: 1n }),
        happens('10:00', { kind: 'gpu.fallen_off_bus', code: 64, sequence: 2n }),
      ],
      telemetry: [],
      asOf: at('10:05'),
    },
    board: ['gpu-fallen-off-bus open 10:00:00 to open C hardware x2'],
  },
  {
    name: 'an application fault is billable and expires ten minutes after it was last seen',
    evidence: { events: [xid('10:00', 31), xid('10:04', 31)], telemetry: [wholeDay(GPU)] },
    board: ['xid-31 expired 10:00:00 to 10:14:00 B application x2'],
  },
  {
    name: 'the same application fault an hour later is another incident',
    evidence: { events: [xid('10:00', 13), xid('11:00', 13)], telemetry: [wholeDay(GPU)] },
    board: [
      'xid-13 expired 10:00:00 to 10:10:00 B application x1',
      'xid-13 expired 11:00:00 to 11:10:00 B application x1',
    ],
  },
  {
    name: 'Xid 43 and 45 after a page fault belong to it',
    evidence: {
      events: [xid('10:00:00', 31), xid('10:00:01', 43), xid('10:00:02', 45)],
      telemetry: [wholeDay(GPU)],
    },
    board: ['xid-31 expired 10:00:00 to 10:10:02 B application x3'],
  },
  {
    name: '11,000 lines of Xid 45 are one incident',
    evidence: { events: burst(45, 11_000), telemetry: [wholeDay(GPU)] },
    board: ['xid-45 expired 10:00:00.500 to 10:11:50.490 B unknown x11000'],
  },
  {
    name: '11,000 lines of Xid 45 before and after their cause are evidence of the cause',
    evidence: {
      events: [...burst(45, 11_000), xid('10:00:01.005', 79, { sequence: 1n })],
      telemetry: [seenDuring(GPU, [['09:00', '10:00'], ['10:30', '23:00']]), wholeDay(OTHER_GPU)], // prettier-ignore
    },
    board: ['xid-79 resolved 10:00:00.500 to 10:35:00 C hardware x11002'],
  },
  {
    name: 'Xid 48 with 63 is one incident, and only a reset begins its proof',
    evidence: {
      events: [
        xid('10:00:00', 63),
        xid('10:00:00.100', 48),
        xid('10:00:00.200', 45),
        happens('10:20:00', { kind: 'driver.restarted', gpuUuid: '' }),
      ],
      telemetry: [wholeDay(GPU)],
    },
    board: ['xid-48 resolved 10:00:00 to 10:25:00 C hardware x3'],
  },
  {
    name: 'a fault that needs a reset stays open however healthy the telemetry looks',
    evidence: { events: [xid('10:00', 95)], telemetry: [wholeDay(GPU)] },
    board: ['xid-95 open 10:00:00 to open C hardware x1'],
  },
  {
    name: 'a new boot is a reset, and so is the driver withdrawing its own verdict',
    evidence: {
      events: [
        xid('10:00', 120),
        xid('10:30', 92, { bootId: 'boot-2' }),
        xid('12:00', 154, {
          message: 'GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)',
        }),
        xid('12:10', 154, {
          message: 'GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)',
        }),
      ],
      telemetry: [wholeDay(GPU)],
    },
    board: [
      'xid-120 resolved 10:00:00 to 10:35:00 C hardware x1',
      'xid-92 expired 10:30:00 to 11:30:00 B hardware x1',
      'xid-154 resolved 12:00:00 to 12:15:00 C hardware x1',
    ],
  },
  {
    name: 'the proof starts again when the fault does',
    evidence: {
      events: [xid('10:00', 94), xid('10:04', 94), xid('10:08', 94)],
      telemetry: [wholeDay(GPU)],
    },
    board: ['xid-94 resolved 10:00:00 to 10:13:00 C hardware x3'],
  },
  {
    name: 'a GPU that still asks for a recovery action is not healthy, and its word that it needs none is a reset',
    evidence: {
      events: [xid('10:00', 95)],
      telemetry: [
        seenDuring(GPU, [['00:00', '23:00']], { unwell: [{ start: at('10:00:10'), end: at('10:40:10') }] }),
      ],
    },
    board: ['xid-95 resolved 10:00:00 to 10:45:10 C hardware x1'],
  },
  {
    name: 'an Xid that the policy does not list is held',
    evidence: { events: [xid('10:00', 61)], telemetry: [wholeDay(GPU)] },
    board: ['xid-unlisted resolved 10:00:00 to 10:10:00 H unknown x1'],
  },
  {
    name: 'two unlisted numbers are two incidents',
    evidence: { events: [xid('10:00', 61), xid('10:01', 122)], telemetry: [wholeDay(GPU)] },
    board: [
      'xid-unlisted resolved 10:00:00 to 10:10:00 H unknown x1',
      'xid-unlisted resolved 10:01:00 to 10:11:00 H unknown x1',
    ],
  },
  {
    name: 'a silent node is one incident with all its GPUs, billable by itself, over at the first sample',
    evidence: {
      telemetry: [
        seenDuring(GPU, [['09:00', '10:00'], ['10:20', '23:00']]), // prettier-ignore
        seenDuring(OTHER_GPU, [['09:00', '10:00:05'], ['10:20:02', '23:00']]), // prettier-ignore
      ],
    },
    board: ['node-silent resolved 10:00:05 to 10:20:00 B unknown x1'],
  },
  {
    name: 'the collector’s own word about its source comes before what the gap says',
    evidence: {
      events: [
        happens('10:00:10', { kind: 'source.down', gpuUuid: '' }),
        happens('10:20:00', { kind: 'source.back', gpuUuid: '' }),
      ],
      telemetry: [seenDuring(GPU, [['09:00', '10:00'], ['10:20', '23:00']])], // prettier-ignore
    },
    board: ['node-silent resolved 10:00:10 to 10:20:00 B unknown x1'],
  },
  {
    name: 'a GPU that vanishes from a node that talks is lost',
    evidence: {
      telemetry: [
        seenDuring(GPU, [['09:00', '10:00'], ['10:20', '23:00']]), // prettier-ignore
        wholeDay(OTHER_GPU),
      ],
    },
    board: ['gpu-lost resolved 10:00:00 to 10:25:00 C hardware x1'],
  },
  {
    name: 'a hot GPU opens an incident once it has lasted',
    evidence: {
      telemetry: [wholeDay(GPU)],
      signals: [
        signal('temperature_celsius', ['10:00', '10:04'], { extreme: 93 }),
        signal('temperature_celsius', ['10:06', '10:09'], { extreme: 95 }),
        signal('temperature_celsius', ['15:00', '15:03'], { extreme: 91 }),
      ],
    },
    board: ['gpu-hot resolved 10:00:00 to 10:09:00 B unknown x1'],
  },
  {
    name: 'idle counts only while a lease runs',
    evidence: {
      telemetry: [wholeDay(GPU)],
      signals: [signal('activity_ratio', ['08:00', '12:00'])],
      leases: [lease('short', '08:00', '08:50'), lease('long', '10:30', '11:45')],
    },
    board: ['gpu-idle-leased resolved 10:30:00 to 11:45:00 B application x1'],
  },
  {
    name: 'an operator ends an incident, and later evidence opens a new one',
    evidence: {
      events: [xid('10:00', 95), xid('12:00', 95)],
      telemetry: [wholeDay(GPU)],
      resolutions: [{ node: NODE, gpuUuid: GPU, code: 'xid-95', at: at('11:00') }],
    },
    board: [
      'xid-95 resolved 10:00:00 to 11:00:00 C hardware x1',
      'xid-95 open 12:00:00 to open C hardware x1',
    ],
  },
  {
    name: 'a switch error concerns every GPU of its node',
    evidence: {
      events: [happens('10:00', { kind: 'sxid', code: 20034, gpuUuid: '' })],
      telemetry: [wholeDay(GPU), wholeDay(OTHER_GPU)],
    },
    board: ['sxid resolved 10:00:00 to 10:10:00 H hardware x1'],
  },
];

it('a node that is silent stays one incident while another fault of the node begins', () => {
  const incidents = judge({
    events: [
      happens('10:00:00.500', { kind: 'sxid', code: 13, sequence: 1n }),
      happens('10:03', { kind: 'source.down', gpuUuid: '', sequence: 2n }),
    ],
    telemetry: [seenDuring(GPU, [['10:00', '10:00']])],
  });
  expect(incidents.filter((one) => one.code === 'node-silent')).toHaveLength(1);
});

describe('a provider that sends samples of somebody else’s node', () => {
  it('is one incident under its own name, billed on and open until somebody resolves it', () => {
    const told = (time: string) =>
      happens(time, {
        kind: 'provider.foreign_node',
        node: 'provider:south',
        gpuUuid: '',
        pool: '',
        providerId: 'south',
        bootId: 'foreign gpu-01',
      });
    const incidents = verdicts(
      evidenceOf({ events: [told('10:00'), told('11:00')], asOf: at('23:00') }),
      policy,
    );
    expect(board(incidents)).toEqual(['provider-foreign-node open 10:00:00 to open B unknown x2']);
    expect(incidents[0]?.affectedLeaseIds).toEqual([]);
  });
});

describe('what is said about a fault', () => {
  it.each(stories)('$name', (story) => {
    expect(board(judge(story.evidence))).toEqual(story.board);
  });

  it('finds the GPU behind a bus id that only another event maps', () => {
    const events = [
      xid('10:00', 48, { gpuUuid: '', detail: { pci_bus_id: '0000:3b:00' } }),
      happens('09:00', { kind: 'gpu.appeared', detail: { pci_bus_id: '00000000:3B:00.0' } }),
    ];
    expect(judge({ events, telemetry: [wholeDay(GPU)] })[0]?.verdicts[0]?.gpuUuid).toBe(GPU);
  });

  it('names the number of an Xid that the policy does not list', () => {
    const [incident] = judge({ events: [xid('10:00', 122)], telemetry: [wholeDay(GPU)] });
    expect(incident?.title).toBe('Xid 122, which this policy does not list');
  });

  it('covers every GPU of a silent node', () => {
    const telemetry = [seenDuring(GPU, [['09:00', '10:00']]), seenDuring(OTHER_GPU, [['09:00', '10:00']])];
    const [incident] = judge({ telemetry, asOf: at('10:05') });
    expect(incident).toMatchObject({ code: 'node-silent', state: 'open', openedAt: at('10:00') });
    expect(incident?.verdicts.map((one) => one.gpuUuid)).toEqual([GPU, OTHER_GPU]);
  });
});

describe('the state of a GPU', () => {
  const stateOf = (facts: Partial<FaultEvidence> & { asOf: EpochMs }) => {
    const evidence = evidenceOf(facts);
    const [health] = healthOfGpus({ ...evidence, unseenAfterMs: 180_000 }, verdicts(evidence, policy));
    return `${health?.state} since ${time(health?.since)}`;
  };
  const seenUntil = (to: string) => [seenDuring(GPU, [['09:00', to]])];

  it.each([
    ['healthy', { asOf: at('10:00'), telemetry: seenUntil('10:00') }, 'healthy since 09:00:00'],
    [
      'silent: never healthy, never faulty',
      { asOf: at('10:10'), telemetry: seenUntil('10:00') },
      'unknown since 10:00:00',
    ],
    [
      'silent after a fault',
      { asOf: at('10:10'), telemetry: seenUntil('10:00'), events: [xid('09:59', 95)] },
      'unknown since 10:00:00',
    ],
    [
      'faulty',
      { asOf: at('10:00'), telemetry: seenUntil('10:00'), events: [xid('09:59', 95)] },
      'faulty since 09:59:00',
    ],
    [
      'verifying',
      { asOf: at('10:00'), telemetry: seenUntil('10:00'), events: [xid('09:58', 94)] },
      'verifying since 09:58:00',
    ],
    [
      'lost',
      { asOf: at('10:00'), telemetry: seenUntil('10:00'), events: [xid('10:00', 79)] },
      'lost since 10:00:00',
    ],
    [
      'untouched by what its tenant does',
      { asOf: at('10:00'), telemetry: seenUntil('10:00'), events: [xid('09:59', 31)] },
      'healthy since 09:00:00',
    ],
    [
      'healthy again',
      { asOf: at('10:30'), telemetry: seenUntil('10:30'), events: [xid('10:00', 94)] },
      'healthy since 10:05:00',
    ],
  ])('is %s', (_name, facts, expected) => {
    expect(stateOf(facts)).toBe(expected);
  });
});
