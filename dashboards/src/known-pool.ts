/** For tests: a small pool whose numbers a reader can add up by hand, ending now. */
import { instantFromMs } from '@poolmeter/domain';
import type { GpuSample } from '@poolmeter/telemetry-schema';

export interface KnownPool {
  readonly samples: readonly GpuSample[];
  /** Rows by table. */
  readonly copies: Readonly<Record<string, readonly object[]>>;
}

const MINUTE_MS = 60_000;
const EVERY_MS = 10_000;
const place = { pool: 'main', provider_id: 'north' };
const iso = (ms: number) => new Date(ms).toISOString();

/**
 * GPU-aaaa: 80 % busy, half of the samples of the node throttled by the power cap. GPU-bbbb: 20 % busy, its exporter
 * knows no SM activity, and it has a MIG instance. Both report for ten whole minutes up to the last full one. GPU-cccc
 * of the other node gave one sample 20 minutes ago and has been silent since.
 */
export function knownPool(nowMs: number): KnownPool {
  const endMs = Math.floor(nowMs / MINUTE_MS) * MINUTE_MS;
  const times = Array.from({ length: 60 }, (_, index) => endMs - 10 * MINUTE_MS + index * EVERY_MS);
  const samples = [
    ...times.flatMap((ms) => [
      sample(ms, { gpuUuid: 'GPU-aaaa', gpuUtilRatio: 0.8, powerWatts: 600, throttleReasons: 4 }),
      sample(ms, {
        gpuUuid: 'GPU-bbbb',
        gpuIndex: 1,
        gpuUtilRatio: 0.2,
        smActiveRatio: null,
        powerWatts: 400,
      }),
      instance(ms),
    ]),
    sample(endMs - 20 * MINUTE_MS, {
      gpuUuid: 'GPU-cccc',
      node: 'gpu-02',
      gpuUtilRatio: null,
      powerWatts: null,
    }),
  ];
  return {
    samples,
    copies: {
      leases: leases(endMs),
      billable_intervals: intervals(endMs),
      gpu_events: events(endMs),
      incidents: incidents(endMs),
      scaling_decisions: [decision(endMs)],
    },
  };
}

function sample(ms: number, fields: Partial<GpuSample>): GpuSample {
  return {
    ts: instantFromMs(ms),
    ingestedAt: instantFromMs(ms + 40),
    node: 'gpu-01',
    gpuUuid: '',
    gpuInstance: '',
    gpuInstanceProfile: '',
    gpuModel: 'NVIDIA H100 80GB HBM3',
    pool: 'main',
    providerId: 'north',
    gpuIndex: 0,
    leaseId: '',
    gpuUtilRatio: 0,
    memoryCopyUtilRatio: 0.4,
    graphicsEngineActiveRatio: 0.97,
    smActiveRatio: 0.8123,
    smOccupancyRatio: 0.33,
    tensorActiveRatio: 0.45,
    dramActiveRatio: 0.39,
    memoryUsedBytes: 61_000 * 1_048_576,
    memoryTotalBytes: 81_559 * 1_048_576,
    powerWatts: 0,
    powerLimitWatts: 700,
    energyJoules: 1_234_567,
    energyEpoch: 0,
    temperatureCelsius: 61,
    memoryTemperatureCelsius: 72,
    temperatureMarginCelsius: 26,
    smClockMhz: 1_755,
    memoryClockMhz: 2_619,
    throttleReasons: 0,
    pcieTxBytesPerSecond: 12 * 65_536,
    pcieRxBytesPerSecond: 34 * 65_536,
    nvlinkBytesPerSecond: 560 * 65_536,
    pcieReplayTotal: 0,
    eccCorrectableTotal: 2,
    eccUncorrectableTotal: 0,
    rowRemapCorrectableTotal: 0,
    rowRemapUncorrectableTotal: 0,
    rowRemapState: 0,
    recoveryAction: 0,
    lastXid: 0,
    flags: 0,
    ...fields,
  };
}

function instance(ms: number): GpuSample {
  return sample(ms, {
    gpuUuid: 'GPU-bbbb',
    gpuIndex: 1,
    gpuInstance: '13/0',
    gpuInstanceProfile: '1g.10gb',
    gpuUtilRatio: null,
    powerWatts: null,
    energyJoules: null,
  });
}

/** acme has all of GPU-aaaa for as long as it reports; beta half of GPU-bbbb for two hours; an old one is over. */
function leases(endMs: number): object[] {
  const lease = (lease_id: string, customer_id: string, fields: object) => ({
    lease_id,
    customer_id,
    ...place,
    node: 'gpu-01',
    gpu_model: 'NVIDIA H100 80GB HBM3',
    ended_at: null,
    recorded_at: iso(endMs),
    version: '1',
    ...fields,
  });
  return [
    lease('l-1', 'acme', { gpu_uuid: 'GPU-aaaa', share: '1', started_at: iso(endMs - 10 * MINUTE_MS) }),
    lease('l-2', 'beta', { gpu_uuid: 'GPU-bbbb', share: '1/2', started_at: iso(endMs - 120 * MINUTE_MS) }),
    lease('l-3', 'beta', {
      gpu_uuid: 'GPU-cccc',
      node: 'gpu-02',
      share: '1',
      started_at: iso(endMs - 50 * MINUTE_MS),
      ended_at: null,
    }),
    lease('l-3', 'beta', {
      gpu_uuid: 'GPU-cccc',
      node: 'gpu-02',
      share: '1',
      started_at: iso(endMs - 50 * MINUTE_MS),
      version: '2',
      is_deleted: 1,
    }),
  ];
}

function intervals(endMs: number): object[] {
  const interval = (id: string, customer_id: string, fields: object) => ({
    interval_id: id,
    lease_id: `lease-of-${id}`,
    customer_id,
    ...place,
    node: 'gpu-01',
    gpu_model: 'NVIDIA H100 80GB HBM3',
    currency: 'USD',
    started_at: iso(endMs - 50 * MINUTE_MS),
    ended_at: iso(endMs - 40 * MINUTE_MS),
    gpu_ms: '0',
    gpu_uuid: 'GPU-aaaa',
    version: '1',
    ...fields,
  });
  return [
    interval('i-1', 'acme', { outcome: 'billed', gpu_hours: '2.5', amount: '7.5', unit_price: '3' }),
    interval('i-2', 'acme', {
      outcome: 'excluded',
      gpu_hours: '0.5',
      amount: '0',
      reason: 'xid-79',
      incident_id: 'inc-1',
    }),
    interval('i-3', 'acme', { outcome: 'held', gpu_hours: '1', amount: null, reason: 'no verdict yet' }),
    // Twenty minutes, of which the last ten have samples; nobody has set a price.
    interval('i-4', 'beta', {
      outcome: 'billed',
      gpu_hours: '0.25',
      amount: null,
      gpu_uuid: 'GPU-bbbb',
      started_at: iso(endMs - 20 * MINUTE_MS),
      ended_at: iso(endMs),
    }),
  ];
}

/** Xid 79 twice, 13 once; the line of the 13 was read a second time. */
function events(endMs: number): object[] {
  const event = (sequence: number, code: number, bus_offset: number) => ({
    ts: iso(endMs - 5 * MINUTE_MS),
    node: 'gpu-01',
    boot_id: 'boot-1',
    kind: 'xid',
    sequence: String(sequence),
    gpu_uuid: 'GPU-aaaa',
    ...place,
    code,
    message: `NVRM: Xid (PCI:0000:1b:00): ${code}`,
    bus_partition: 0,
    bus_offset: String(bus_offset),
  });
  const restart = { ...event(9, 0, 5), kind: 'driver.restarted', gpu_uuid: '', message: '' };
  return [event(1, 79, 1), event(2, 79, 2), event(3, 13, 3), event(3, 13, 4), restart];
}

/** One that lasts, blamed on the hardware; one of the application, opened and then resolved. */
function incidents(endMs: number): object[] {
  const incident = (id: string, fields: object) => ({
    id,
    code: 'xid-79',
    title: 'GPU fell off the bus',
    severity: 'critical',
    status: 'open',
    blame: 'hardware',
    billing_class: 'C',
    gpu_uuids: ['GPU-aaaa'],
    node: 'gpu-01',
    ...place,
    opened_at: iso(endMs - 5 * MINUTE_MS),
    cleared_at: null,
    version: '1',
    ...fields,
  });
  const application = { code: 'xid-13', severity: 'info', blame: 'application', billing_class: 'B' };
  return [
    incident('inc-1', {}),
    incident('inc-2', application),
    incident('inc-2', {
      ...application,
      status: 'resolved',
      cleared_at: iso(endMs - MINUTE_MS),
      version: '2',
    }),
  ];
}

function decision(endMs: number): object {
  return {
    id: 'dec-1',
    pool: 'main',
    decided_at: iso(endMs - 3 * MINUTE_MS),
    mode: 'recommend',
    action: 'scale_out',
    status: 'recommended',
    targets: [{ node: 'gpu-07' }, { gpu_model: 'H100', count: 2 }],
    reasons: [
      { code: 'queue', text: '12 GPUs wait' },
      { code: 'free', text: '4 are free' },
    ],
    rejected: [],
    guards: [{ guard: 'step-limit', effect: 'trim', text: 'At most 1 node at once.' }],
    forecast: { method: 'moving-average', window_s: 600, points: 3, demand_gpus: 12, expected_gpus: 14 },
    outcome: {},
    version: '1',
  };
}
