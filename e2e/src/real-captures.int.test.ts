/** `up --scrape` on scrapes of real exporters: every GPU is shown with the values and units that a reader of the capture would note. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { askClickHouse } from './ask-clickhouse.js';
import { startExporterStandIn, type ExporterStandIn } from './exporter-stand-in.js';
import { startUp, type RunningUp } from './running-up.js';

/** Kept beside the repository; their README names sources and licences. */
const captures = new URL('../../../shared/data/dcgm-exporter/', import.meta.url);
const absent = !existsSync(captures);
if (absent) console.log(`Skipped: the captures of real exporters are not at ${captures.pathname}.`);

const MIB = 1_048_576;
/** PCIe rates are stored in steps of 64 KiB/s. */
const RATE_STEP = 65_536;

interface Latest extends Readonly<Record<string, number | string | null>> {
  readonly ts: string;
}

interface Gpu {
  readonly gpu_uuid: string;
  readonly gpu_index: number;
  readonly gpu_model: string;
  readonly node: string;
  readonly state: string;
  readonly demo: boolean;
  readonly lease: unknown;
  readonly instances: readonly { gpu_instance: string; profile: string; latest: Latest }[];
  readonly latest: Latest;
}

const files = absent ? [] : readdirSync(captures).filter((name) => name.endsWith('.prom'));
const nodeOf = (file: string) => file.replace(/\.prom$/, '');

/** Each capture's GPUs. */
const GPUS: Readonly<Record<string, readonly string[]>> = {
  'cncf-ericsson-t4-busy-util-vs-engine': ['GPU-6d5c0ac5-74d7-3130-46f1-e93ed57f469a'],
  'cncf-kops-l4-two-scrapes': ['GPU-c2f76b33-7953-256e-8f33-1343419b1a1c'],
  'cncf-upcloud-l40s': ['GPU-5b4e07f6-3a86-4340-039d-25f2a83cdc43'],
  'cncf-viettel-2xl40s-values-truncated': [
    'GPU-72ad4d20-cfed-f08d-c894-f620962ca3e4',
    'GPU-a8affe7e-7930-ae20-3fc6-4b0edf3ebbf3',
  ],
  'cncf-vks135-grid-a100-40c-vgpu': ['GPU-0946f70c-659b-4c39-8b78-7e7600000000'],
  'datadog-t4-label-heavy': [
    'GPU-20c56d28-0da5-6d26-a36a-e7af1ce2586e',
    'GPU-9ef1b6d0-3643-5dd7-b823-c0ec20dcf2d5',
  ],
  'issue317-a30-mig-energy-duplicated': [
    'GPU-265c9814-6156-355b-e589-ff2064894f16',
    'GPU-2d20791a-b4a6-ba59-97f1-e95b99fe5b49',
  ],
  'nvidia-docs-a100-mig-parent-and-gi': ['GPU-34319582-d595-d1c7-d1d2-179bcfa61660'],
  'nvidia-docs-plain-blank-value': ['GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52'],
};

describe.skipIf(absent)('captures of real exporters through up --scrape', () => {
  let exporters: ExporterStandIn;
  let up: RunningUp;

  beforeAll(async () => {
    exporters = await startExporterStandIn((request, response) => {
      const [, name] = /^\/([^/]+)\/metrics$/.exec(request.url ?? '') ?? [];
      const file = files.find((one) => nodeOf(one) === name);
      if (file === undefined) response.writeHead(404).end();
      else response.end(readFileSync(new URL(file, captures)));
    });
    up = await startUp([
      '--scrape-interval',
      '1s',
      ...files.flatMap((file) => ['--scrape', `${nodeOf(file)}=${exporters.url}/${nodeOf(file)}/metrics`]),
    ]);
    const expected = Object.values(GPUS).flat().length;
    await vi.waitUntil(async () => (await up.get<{ data: Gpu[] }>('/v1/gpus')).data.length === expected, {
      timeout: 20_000,
      interval: 200,
    });
  }, 90_000);

  afterAll(async () => {
    await up.stop();
    await exporters.stop();
  }, 30_000);

  const gpu = (uuid: string) => up.get<Gpu>(`/v1/gpus/${uuid}`);
  const only = (file: string) => {
    const [uuid, ...more] = GPUS[file] ?? [];
    if (uuid === undefined || more.length > 0) throw new Error(`${file} does not hold one GPU.`);
    return gpu(uuid);
  };

  it('lists every GPU of every capture once, under its node, the same as it shows it alone', async () => {
    const list = async () => (await up.get<{ data: Gpu[] }>('/v1/gpus')).data;
    // "unknown" until the fault monitor's first look.
    await expect
      .poll(async () => new Set((await list()).map((one) => one.state)), { timeout: 15_000 })
      .toEqual(new Set(['healthy']));
    const data = await list();
    const listed: Record<string, string[]> = {};
    for (const one of data) (listed[one.node] ??= []).push(one.gpu_uuid);
    for (const uuids of Object.values(listed)) uuids.sort();
    expect(listed).toEqual(GPUS);
    expect(Object.keys(listed).sort()).toEqual(files.map(nodeOf).sort());
    for (const one of data) {
      expect(one).toMatchObject({ demo: false, lease: null });
      expect(Object.keys((await gpu(one.gpu_uuid)).latest)).toEqual(Object.keys(one.latest));
    }
  });

  it('T4 under load: ratios from percent, joules from millijoules, bytes from MiB', async () => {
    expect(await only('cncf-ericsson-t4-busy-util-vs-engine')).toMatchObject({
      gpu_index: 0,
      gpu_model: 'Tesla T4',
      instances: [],
      latest: {
        gpu_util_ratio: 0.91,
        memory_copy_util_ratio: 0.73,
        graphics_engine_active_ratio: 0.1562,
        tensor_active_ratio: 0.0058,
        dram_active_ratio: 0.0928,
        // Not exported by this one.
        sm_active_ratio: null,
        sm_occupancy_ratio: null,
        memory_used_bytes: 5120 * MIB,
        memory_total_bytes: (9791 + 5120 + 447) * MIB,
        power_watts: 68.2,
        power_limit_watts: null,
        energy_joules: 15_152_423,
        temperature_celsius: 74,
        // The exporter says 0: a T4 has no such sensor.
        memory_temperature_celsius: null,
        sm_clock_mhz: 660,
        memory_clock_mhz: 5000,
        pcie_tx_bytes_per_second: 73 * RATE_STEP,
        pcie_rx_bytes_per_second: 106 * RATE_STEP,
        last_xid: null,
      },
    });
  });

  it('L4, idle: what is 0 stays 0, what is not there is null', async () => {
    expect(await only('cncf-kops-l4-two-scrapes')).toMatchObject({
      gpu_model: 'NVIDIA L4',
      latest: {
        gpu_util_ratio: 0,
        tensor_active_ratio: 0,
        memory_used_bytes: 0,
        memory_total_bytes: (22_563 + 470) * MIB,
        power_watts: 16.4,
        energy_joules: 4_743,
        temperature_celsius: 31,
        memory_temperature_celsius: null,
        sm_clock_mhz: 210,
        pcie_tx_bytes_per_second: 2 * RATE_STEP,
        row_remap_correctable_total: 0,
        row_remap_state: 0,
        ecc_uncorrectable_total: null,
      },
    });
  });

  it('L40S', async () => {
    expect(await only('cncf-upcloud-l40s')).toMatchObject({
      gpu_model: 'NVIDIA L40S',
      latest: {
        power_watts: 35.7,
        energy_joules: 5_551_900,
        temperature_celsius: 32,
        memory_temperature_celsius: null,
        memory_total_bytes: (45_459 + 608) * MIB,
        dram_active_ratio: 0.0001,
        memory_clock_mhz: 405,
      },
    });
  });

  it('a vGPU guest, which has no power, temperature or energy', async () => {
    expect(await only('cncf-vks135-grid-a100-40c-vgpu')).toMatchObject({
      gpu_model: 'GRID A100-40C',
      latest: {
        gpu_util_ratio: 0,
        memory_total_bytes: (37_739 + 3220) * MIB,
        sm_clock_mhz: 1410,
        power_watts: null,
        energy_joules: null,
        temperature_celsius: null,
        memory_temperature_celsius: null,
      },
    });
  });

  it('two hosts in one scrape with many labels: two GPUs, each with its own values only', async () => {
    const [first, second] = await Promise.all((GPUS['datadog-t4-label-heavy'] ?? []).map(gpu));
    expect(first).toMatchObject({
      gpu_model: 'Tesla T4',
      latest: {
        power_watts: 9,
        power_limit_watts: null,
        energy_joules: 128_996,
        temperature_celsius: 25,
        memory_total_bytes: 15_109 * MIB,
        last_xid: 0,
      },
    });
    expect(second).toMatchObject({
      gpu_model: 'Tesla T4',
      latest: {
        power_watts: null,
        power_limit_watts: 70,
        throttle_reasons: 1,
        memory_total_bytes: 15_109 * MIB,
      },
    });
  });

  it('A100 with a MIG instance: the instance is a part of its GPU and has only what is its own', async () => {
    const a100 = await only('nvidia-docs-a100-mig-parent-and-gi');
    expect(a100.latest).toMatchObject({
      graphics_engine_active_ratio: 0.9956,
      tensor_active_ratio: 0.9293,
      dram_active_ratio: 0.6908,
      memory_used_bytes: 4845 * MIB,
      memory_total_bytes: (35_690 + 4845) * MIB,
      power_watts: 409.7,
      energy_joules: 319_159,
      temperature_celsius: 61,
      // This one has the sensor.
      memory_temperature_celsius: 69,
      gpu_util_ratio: null,
    });
    expect(a100.instances).toMatchObject([
      {
        gpu_instance: '13/0',
        profile: '1g.5gb',
        latest: {
          graphics_engine_active_ratio: 0.9957,
          tensor_active_ratio: 0.9304,
          dram_active_ratio: 0.8003,
          power_watts: null,
          energy_joules: null,
          temperature_celsius: null,
          memory_used_bytes: null,
        },
      },
    ]);
  });

  it('A30 with the energy repeated on every instance: counted once, for the device', async () => {
    const [first, second] = await Promise.all((GPUS['issue317-a30-mig-energy-duplicated'] ?? []).map(gpu));
    expect(first).toMatchObject({
      gpu_index: 0,
      gpu_model: 'NVIDIA A30',
      latest: { energy_joules: 126_272_106 },
    });
    expect(second).toMatchObject({
      gpu_index: 1,
      gpu_model: 'NVIDIA A30',
      latest: { energy_joules: 134_473_487 },
    });
    const parts = (one: Gpu | undefined) =>
      one?.instances.map(({ gpu_instance, profile, latest }) => [
        gpu_instance,
        profile,
        latest['energy_joules'],
      ]);
    expect(parts(first)).toEqual(['3/0', '4/0', '5/0', '6/0'].map((id) => [id, '1g.6gb', null]));
    expect(parts(second)).toEqual([['3/0', '1g.6gb', null]]);
  });

  it('a leaked blank value is null', async () => {
    const blank = await only('nvidia-docs-plain-blank-value');
    expect(blank.latest).toMatchObject({
      sm_clock_mhz: 139,
      memory_clock_mhz: 405,
      memory_temperature_celsius: null,
      temperature_celsius: null,
      power_watts: null,
    });
  });

  it('a damaged scrape keeps what can be read, is marked partial, and says so', async () => {
    const damaged = 'cncf-viettel-2xl40s-values-truncated';
    const both = await Promise.all((GPUS[damaged] ?? []).map(gpu));
    expect(both.map((one) => one.gpu_index).sort()).toEqual([0, 1]);
    for (const one of both) {
      expect(one.gpu_model).toBe('NVIDIA L40S');
      // Bit 2 of the flags: a partial scrape. Power and temperature stand on lines whose labels were cut.
      expect(one.latest).toMatchObject({
        sm_clock_mhz: 210,
        power_watts: null,
        temperature_celsius: null,
        flags: 2,
      });
    }
    const partial = () =>
      askClickHouse<{ node: string; message: string }>(
        up.endpoint,
        "SELECT DISTINCT node, message FROM gpu_events WHERE kind = 'source.partial'",
      );
    // Said after the second scrape that is not whole.
    await expect
      .poll(partial, { timeout: 10_000 })
      .toEqual([{ node: damaged, message: 'Scrapes are not whole: 18 unreadable lines.' }]);
  });

  it('stores nothing twice: one row per GPU or instance and instant', async () => {
    const [row] = await askClickHouse<{
      rows: string | number;
      keys: string | number;
      instants: string | number;
    }>(
      up.endpoint,
      'SELECT count() AS rows, uniqExact(gpu_uuid, gpu_instance, ts) AS keys, uniqExact(ts) AS instants FROM gpu_samples',
    );
    expect(row?.rows).toBe(row?.keys);
    expect(Number(row?.instants)).toBeGreaterThan(1);
  });
});
