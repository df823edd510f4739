import { formatFraction, instantFromMs, parseInstant } from '@poolmeter/domain';
import { parseMetrics, type GpuReading } from 'dcgm-exporter-client';
import { describe, expect, it } from 'vitest';
import { createSimulatedPool } from './simulated-pool.js';
import type { Scenario } from './scenario.js';

const at = (time: string) => parseInstant(`2026-03-10T${time}Z`);

/** The worked example "xid 79" of the billing rules. */
const xid79: Scenario = {
  leases: [
    {
      leaseId: 'lease-1',
      customerId: 'acme',
      project: 'train',
      node: 'gpu-01',
      gpuIndex: 3,
      startsAt: at('10:00:00'),
      endsAt: at('12:00:00'),
    },
  ],
  faults: [
    { kind: 'xid_79', node: 'gpu-01', gpuIndex: 3, at: at('10:40:00.250'), healthyAt: at('11:10:00.250') },
  ],
};

function poolAt(time: string, scenario: Scenario = xid79) {
  const pool = createSimulatedPool({ seed: 7, startAt: at('09:00:00'), scenario });
  pool.advanceTo(at(time));
  return pool;
}

function readingsAt(pool: ReturnType<typeof poolAt>, node: string, time: string): readonly GpuReading[] {
  const parsed = parseMetrics(pool.metricsText(node, at(time)));
  expect(parsed.faultCount).toBe(0);
  return parsed.readings;
}

describe('the worked example xid 79', () => {
  const pool = poolAt('13:00:00');
  const gpuAt = (time: string) => readingsAt(pool, 'gpu-01', time).find((one) => one.gpuIndex === 3);

  it('is one lease of a whole GPU from 10:00 to 12:00, through the fault', () => {
    expect(pool.accounting(pool.startAt)).toMatchObject([
      {
        leaseId: 'lease-1',
        customerId: 'acme',
        project: 'train',
        providerId: 'north',
        node: 'gpu-01',
        gpuIndex: 3,
        gpuInstance: '',
        startedAt: at('10:00:00'),
        endedAt: at('12:00:00'),
      },
    ]);
    expect(formatFraction(pool.accounting(pool.startAt)[0]!.share)).toBe('1');
  });

  it('begins with the kernel lines of 10:40:00.250', () => {
    const lines = pool.kernelLines('gpu-01', at('10:40:00.250'), at('10:40:01'));
    expect(lines.slice(0, 2)).toEqual([
      "2026-03-10T10:40:00,250000+00:00 NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
      '2026-03-10T10:40:00,250038+00:00 NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.',
    ]);
    expect(pool.kernelLines('gpu-01', at('10:00:00'), at('10:40:00.250')).join('\n')).not.toContain('Xid');
  });

  it.each([
    ['09:59:59.999', 'idle', ''],
    ['10:40:00.249', 'working', 'lease-1'],
    ['10:40:00.250', 'gone', ''],
    ['11:10:00.249', 'gone', ''],
    ['11:10:00.250', 'working', 'lease-1'],
    ['11:59:59.999', 'working', 'lease-1'],
    ['12:00:00', 'idle', ''],
  ])('at %s the GPU is %s', (time, what, lease) => {
    const reading = gpuAt(time);
    expect(reading === undefined).toBe(what === 'gone');
    if (reading === undefined) return;
    expect(reading.attributions[0]?.hpcJob ?? '').toBe(lease);
    // A program holds memory from its first instant, while activity comes and goes with its phases.
    expect((reading.values.get(252) ?? 0) > 0).toBe(what === 'working');
  });

  it('takes nothing else with it', () => {
    expect(readingsAt(pool, 'gpu-01', '10:50:00').map((one) => one.gpuIndex)).toEqual([0, 1, 2, 4, 5, 6, 7]);
  });

  it('starts the energy counter again, and gives the same GPU back', () => {
    const before = gpuAt('10:40:00')!;
    const back = gpuAt('11:10:01')!;
    expect(back.gpuUuid).toBe(before.gpuUuid);
    expect(back.values.get(156)!).toBeLessThan(before.values.get(156)!);
    expect(back.values.has(230)).toBe(false);
  });

  it('is what the truth says', () => {
    expect(pool.faults()).toMatchObject([
      { kind: 'xid_79', startedAt: at('10:40:00.250'), endsAt: at('11:10:00.250'), leaseIds: ['lease-1'] },
    ]);
  });
});

describe('other faults by script', () => {
  const fault = (kind: 'xid_94' | 'xid_48' | 'xid_63' | 'xid_13' | 'thermal_hw' | 'gpu_vanish') =>
    poolAt('13:00:00', {
      ...xid79,
      faults: [{ kind, node: 'gpu-01', gpuIndex: 3, at: at('10:40:00'), healthyAt: at('11:10:00') }],
    });
  const gpuOf = (pool: ReturnType<typeof poolAt>, time: string) =>
    readingsAt(pool, 'gpu-01', time).find((one) => one.gpuIndex === 3);
  const xidsOf = (pool: ReturnType<typeof poolAt>) =>
    pool
      .kernelLines('gpu-01', at('10:40:00'), at('10:40:01'))
      .map((line) => /Xid \(PCI:[0-9a-f:]+\): (\d+)/.exec(line)?.[1])
      .filter((code) => code !== undefined);

  it('94: the program dies, a row waits, the lease goes on', () => {
    const pool = fault('xid_94');
    expect(xidsOf(pool)).toEqual(['94', '63']);
    const hit = gpuOf(pool, '10:41:00')!;
    expect([230, 311, 393, 396].map((id) => hit.values.get(id))).toEqual([94, 1, 1, 1]);
    expect(hit.values.get(203)).toBe(0);
    expect(gpuOf(pool, '10:50:00')!.values.get(252)).toBeGreaterThan(0);
    // The reset that remaps the row needs an idle board: it comes after the lease, at the next try.
    expect(gpuOf(pool, '12:30:00')!.values.get(396)).toBe(0);
    expect(pool.accounting(pool.startAt)[0]?.endedAt).toBe(at('12:00:00'));
  });

  it('48: the board asks for a reset and does nothing until then', () => {
    const pool = fault('xid_48');
    expect(xidsOf(pool)).toEqual(['48', '63', '45', '45', '154']);
    const hit = gpuOf(pool, '10:41:00')!;
    expect([311, 1523, 203, 252].map((id) => hit.values.get(id))).toEqual([1, 1, 0, 0]);
    const mended = gpuOf(pool, '11:10:00')!;
    expect([311, 1523].map((id) => mended.values.get(id))).toEqual([0, 0]);
  });

  it('63: a row waits, the work goes on', () => {
    const pool = fault('xid_63');
    expect(xidsOf(pool)).toEqual(['63']);
    const hit = gpuOf(pool, '10:41:00')!;
    expect(hit.values.get(396)).toBe(1);
    expect(hit.values.get(252)).toBeGreaterThan(0);
  });

  it('13: an application fault leaves the board alone; the exporter keeps the code', () => {
    const pool = fault('xid_13');
    expect(xidsOf(pool)).toEqual(['13', '13', '43']);
    expect(gpuOf(pool, '11:30:00')!.values.get(230)).toBe(13);
    expect(pool.metricsText('gpu-01', at('11:30:00'))).toContain(
      'err_code="13",err_msg="Graphics Engine Exception",hpc_job="lease-1"} 13\n',
    );
  });

  it('thermal: clocks and power fall, temperature and reasons say why', () => {
    const pool = fault('thermal_hw');
    const before = gpuOf(pool, '10:39:00')!.values;
    const hot = gpuOf(pool, '10:50:00')!.values;
    expect(hot.get(112)! & 0x48).toBe(0x48);
    expect(hot.get(100)!).toBeLessThan(0.7 * before.get(100)!);
    expect(hot.get(150)!).toBeGreaterThan(before.get(150)! + 5);
    expect(gpuOf(pool, '11:30:00')!.values.get(112)).toBe(gpuOf(pool, '10:39:00')!.values.get(112));
  });

  it('a GPU that vanishes leaves no line', () => {
    const pool = fault('gpu_vanish');
    expect(xidsOf(pool)).toEqual([]);
    expect(gpuOf(pool, '11:00:00')).toBeUndefined();
    expect(gpuOf(pool, '11:10:00')).toBeDefined();
  });

  it.each([
    ['exporter_hang', { kind: 'hang' }],
    ['exporter_error', { kind: 'error', status: 500 }],
  ] as const)('%s is of the exporter, not of the node', (kind, outcome) => {
    const pool = poolAt('13:00:00', {
      faults: [{ kind, node: 'gpu-02', at: at('10:00:00'), healthyAt: at('10:05:00') }],
    });
    expect(pool.scrape('gpu-02', at('10:02:00'))).toMatchObject(outcome);
    expect(pool.scrape('gpu-02', at('10:05:00')).kind).toBe('text');
    expect(pool.observe().nodes[1]?.state).toBe('ready');
  });

  it('a reboot takes the whole node with it and begins a new boot', () => {
    const pool = poolAt('11:08:00', {
      ...xid79,
      faults: [{ ...xid79.faults![0]!, recovery: 'node_reboot' }],
    });
    expect(pool.observe().nodes[0]).toMatchObject({ state: 'down', reason: 'reboot after xid 79' });
    expect(pool.scrape('gpu-01', at('11:08:00'))).toEqual({ kind: 'refused' });
    const bootBefore = pool.bootIdAt('gpu-01', at('11:08:00'));
    pool.advanceTo(at('11:30:00'));
    expect(pool.observe().nodes[0]?.state).toBe('ready');
    expect(pool.bootIdAt('gpu-01', at('11:30:00'))).not.toBe(bootBefore);
    expect(readingsAt(pool, 'gpu-01', '11:30:00')).toHaveLength(8);
    expect(pool.observe().held).toHaveLength(1);
  });
});

describe('a scenario', () => {
  it('queues submissions and shows them as waiting', () => {
    const pool = poolAt('10:30:00', {
      submissions: [1, 2, 3].map((n) => ({
        jobId: `job-${n}`,
        customerId: 'globex',
        submittedAt: at('10:00:00'),
        durationMs: 3_600_000,
        gpus: 8,
        gpuModel: 'NVIDIA L40S',
      })),
    });
    expect(pool.observe().held).toHaveLength(16);
    expect(pool.observe().pending).toMatchObject([
      { id: 'job-3', gpus: 8, gpuModel: 'NVIDIA L40S', gang: true, since: at('10:00:00') },
    ]);
    pool.advanceTo(at('11:00:00'));
    expect(pool.observe().pending).toEqual([]);
  });

  it('leases sevenths of a MIG board', () => {
    const pool = poolAt('10:30:00', {
      leases: [7, 8, 13].map((gpuInstanceId) => ({
        leaseId: `mig-${gpuInstanceId}`,
        customerId: 'acme',
        node: 'gpu-03',
        gpuIndex: 0,
        gpuInstanceId,
        startsAt: at('10:00:00'),
        endsAt: at('11:00:00'),
      })),
    });
    expect(pool.observe().held.map((one) => [one.gpuInstance, formatFraction(one.share)])).toEqual([
      ['7/0', '1/7'],
      ['8/0', '1/7'],
      ['13/0', '1/7'],
    ]);
  });

  it.each<[string, Scenario, RegExp]>([
    ['a node that is not there', { faults: [{ ...xid79.faults![0]!, node: 'x' }] }, /node x/],
    ['a GPU that is not there', { leases: [{ ...xid79.leases![0]!, gpuIndex: 8 }] }, /GPU 8/],
    [
      'a lease before the beginning',
      { leases: [{ ...xid79.leases![0]!, startsAt: at('08:00:00') }] },
      /before/,
    ],
    [
      'a fault without an end',
      { faults: [{ ...xid79.faults![0]!, healthyAt: at('10:40:00.250') }] },
      /end after/,
    ],
    [
      'a whole lease of a MIG board',
      { leases: [{ ...xid79.leases![0]!, node: 'gpu-03', gpuIndex: 0 }] },
      /instance/,
    ],
    [
      'a GPU fault without a GPU',
      { faults: [{ kind: 'xid_79', node: 'gpu-01', at: at('10:00:00'), healthyAt: at('11:00:00') }] },
      /gpuIndex/,
    ],
  ])('with %s is refused before anything happens', (_what, scenario, message) => {
    expect(() => createSimulatedPool({ seed: 1, startAt: at('09:00:00'), scenario })).toThrow(message);
  });

  it('with two leases of one GPU stops where they meet', () => {
    const twice = { ...xid79.leases![0]!, leaseId: 'lease-2', startsAt: instantFromMs(at('11:00:00')) };
    const pool = createSimulatedPool({
      seed: 1,
      startAt: at('09:00:00'),
      scenario: { leases: [xid79.leases![0]!, twice] },
    });
    expect(() => pool.advanceTo(at('13:00:00'))).toThrow(/which job lease-1 holds/);
  });
});
