import { instantFromMs } from '@poolmeter/domain';
import { sampleFlags, type GpuEvent } from '@poolmeter/telemetry-schema';
import { parseMetrics } from 'dcgm-exporter-client';
import { describe, expect, it } from 'vitest';
import { agentEventIdentity } from './event-identity.js';
import { createSampleBuilder, type SampleBuilder, type SampleBuilderOptions } from './sample-builder.js';

const start = 1_767_225_600_000;

function builderOf(options: Partial<SampleBuilderOptions> = {}): SampleBuilder {
  return createSampleBuilder({
    fallbackNode: 'from-url',
    pool: 'main',
    providerId: 'north',
    identity: agentEventIdentity('agent', 1n),
    ...options,
  });
}

/** `{gpu: {field: value}}` as exporter text; a key `0:13` is instance 13 of GPU 0. */
type Scrape = Readonly<Record<string, Readonly<Record<string, number>>>>;

function textOf(scrape: Scrape, more = ''): string {
  return Object.entries(scrape)
    .flatMap(([entity, fields]) => {
      const [gpu = '', instance] = entity.split(':');
      const mig = instance === undefined ? '' : `,GPU_I_PROFILE="1g.10gb",GPU_I_ID="${instance}"`;
      const labels = `gpu="${gpu}",UUID="GPU-${gpu}",modelName="NVIDIA H100",Hostname="node-1"${mig}${more}`;
      return Object.entries(fields).map(([name, value]) => `DCGM_FI_${name}{${labels}} ${value}\n`);
    })
    .join('');
}

/** Feeds scrapes 10 s apart and gives what came of each. */
function feed(builder: SampleBuilder, scrapes: readonly Scrape[], more = '') {
  return scrapes.map((scrape, index) => {
    const at = instantFromMs(start + index * 10_000);
    return builder.samplesFrom(parseMetrics(textOf(scrape, more)).readings, { ts: at, ingestedAt: at });
  });
}

const summary = (events: readonly GpuEvent[]) =>
  events.map((one) => [one.kind, one.gpuUuid, one.gpuInstance].filter((part) => part !== '').join(' '));

const power = (watts: number) => ({ DEV_POWER_USAGE: watts });
const energy = (millijoules: number) => ({ DEV_TOTAL_ENERGY_CONSUMPTION: millijoules });

describe('the node of a sample', () => {
  it.each<[string, Partial<SampleBuilderOptions>, string, string]>([
    ['is what the operator says', { node: 'told' }, ',x=""', 'told'],
    ['else the exporter’s host name', {}, ',x=""', 'node-1'],
  ])('%s', (_case, options, more, node) => {
    const [first] = feed(builderOf(options), [{ '0': power(70) }], more);
    expect(first?.samples[0]?.node).toBe(node);
  });

  it('else the host of the URL', () => {
    const readings = parseMetrics('DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-0"} 40\n').readings;
    const at = instantFromMs(start);
    expect(builderOf().samplesFrom(readings, { ts: at, ingestedAt: at }).samples[0]?.node).toBe('from-url');
  });
});

describe('GPUs that come and go', () => {
  it('appear once', () => {
    const built = feed(builderOf(), [{ '0': power(70) }, { '0': power(71) }]);
    expect(built.map((one) => summary(one.events))).toEqual([['gpu.appeared GPU-0'], []]);
  });

  it('are lost after two scrapes without them while others are there, once; and may return', () => {
    const both = { '0': power(70), '1': power(70) };
    const built = feed(builderOf(), [both, { '0': power(71) }, { '0': power(72) }, { '0': power(73) }, both]);
    expect(built.slice(1).map((one) => summary(one.events))).toEqual([
      [],
      ['gpu.lost GPU-1'],
      [],
      ['gpu.appeared GPU-1'],
    ]);
    expect(built[4]?.events[0]?.detail).toMatchObject({ returned: true });
    expect(built[1]?.partialReasons).toEqual(['GPU-1 is missing']);
    expect(built[2]?.partialReasons).toEqual([]);
  });

  it('are not lost when the exporter gives nothing at all', () => {
    const built = feed(builderOf(), [{ '0': power(70) }, {}, {}, {}]);
    expect(built.slice(1).flatMap((one) => one.events)).toEqual([]);
    expect(built[3]?.partialReasons).toEqual(['no GPU is exported']);
  });
});

describe('the energy counter', () => {
  it('is in joules, and its epoch grows when it begins anew', () => {
    const built = feed(builderOf(), [
      { '0': energy(9_000_000) },
      { '0': energy(9_500_000) },
      { '0': energy(12_000) },
    ]);
    expect(built.map((one) => [one.samples[0]?.energyJoules, one.samples[0]?.energyEpoch])).toEqual([
      [9000, 0],
      [9500, 0],
      [12, 1],
    ]);
    expect(summary(built[2]?.events ?? [])).toEqual(['counter.reset GPU-0']);
  });

  it('begins anew across a restart of the agent too', () => {
    const first = builderOf();
    feed(first, [{ '0': energy(9_000_000) }]);
    const remembered: unknown = JSON.parse(JSON.stringify(first.gpus()));
    const [after] = feed(builderOf({ gpus: remembered as ReturnType<SampleBuilder['gpus']> }), [
      { '0': energy(500) },
    ]);
    expect(after?.samples[0]?.energyEpoch).toBe(1);
    expect(summary(after?.events ?? [])).toEqual(['counter.reset GPU-0']);
  });

  it('stands once on the device when the exporter repeats it on its instances', () => {
    const [built] = feed(builderOf(), [{ '0:3': energy(1000), '0:4': energy(1000), '0:5': energy(2000) }]);
    expect(built?.samples.map((one) => [one.gpuInstance, one.energyJoules])).toEqual([
      ['', 2],
      ['3/0', null],
      ['4/0', null],
      ['5/0', null],
    ]);
  });

  it('that is pieced together from instances does not fall when the newest read is gone', () => {
    const built = feed(builderOf(), [
      { '0:3': energy(100_000), '0:5': energy(105_000) },
      { '0:3': energy(101_000) },
    ]);
    expect(built.map((one) => one.samples[0]?.energyJoules)).toEqual([105, 105]);
    expect(built[1]?.samples[0]?.energyEpoch).toBe(0);
  });
});

describe('MIG instances', () => {
  it('leave what belongs to the device to the device', () => {
    const [built] = feed(builderOf(), [
      {
        '0': { DEV_POWER_USAGE: 300, DEV_GPU_TEMP: 50 },
        '0:7': { DEV_POWER_USAGE: 300, DEV_GPU_TEMP: 50, PROF_SM_ACTIVE: 0.5, DEV_FB_USED: 10 },
      },
    ]);
    expect(built?.samples).toMatchObject([
      {
        gpuInstance: '',
        gpuInstanceProfile: '',
        powerWatts: 300,
        temperatureCelsius: 50,
        smActiveRatio: null,
      },
      {
        gpuInstance: '7/0',
        gpuInstanceProfile: '1g.10gb',
        powerWatts: null,
        temperatureCelsius: 50,
        smActiveRatio: 0.5,
        memoryUsedBytes: 10_485_760,
      },
    ]);
  });

  it('that return are another generation', () => {
    const cut = { '0': power(70), '0:7': { PROF_SM_ACTIVE: 0.5 } };
    const whole = { '0': power(70) };
    const built = feed(builderOf(), [cut, whole, whole, cut]);
    expect(built.map((one) => summary(one.events))).toEqual([
      ['gpu.appeared GPU-0', 'gpu_instance.appeared GPU-0 7/0'],
      [],
      ['gpu_instance.vanished GPU-0 7/0'],
      ['gpu_instance.appeared GPU-0 7/1'],
    ]);
    expect(built[3]?.samples.map((one) => one.gpuInstance)).toEqual(['', '7/1']);
  });
});

describe('flags', () => {
  const flagsOf = (scrapes: readonly Scrape[]) =>
    feed(builderOf(), scrapes).map((one) => one.samples.map((sample) => sample.flags));

  it('mark a collection that was scraped again', () => {
    const same = { '0': { ...energy(5000), DEV_GPU_TEMP: 40 } };
    expect(flagsOf([same, same, { '0': { ...energy(5001), DEV_GPU_TEMP: 40 } }])).toEqual([
      [0],
      [sampleFlags.repeat],
      [0],
    ]);
  });

  it('claim no repeat for a guest without power and energy', () => {
    const idle = { '0': { DEV_GPU_UTIL: 0, DEV_FB_USED: 0 } };
    expect(flagsOf([idle, idle])).toEqual([[0], [0]]);
  });

  it('mark the GPU whose fields are missing, not its neighbour', () => {
    const whole = { ...power(70), DEV_GPU_TEMP: 40 };
    const built = feed(builderOf(), [
      { '0': whole, '1': whole },
      { '0': { ...power(71), DEV_GPU_TEMP: 40 }, '1': power(71) },
    ]);
    expect(built[1]?.samples.map((one) => one.flags)).toEqual([0, sampleFlags.partialScrape]);
    expect(built[1]?.partialReasons).toEqual(['GPU-1 lacks fields 150']);
  });

  it('do not expect the Xid row, which exists only after an Xid', () => {
    const built = feed(builderOf(), [{ '0': { ...power(70), DEV_XID_ERRORS: 31 } }, { '0': power(71) }]);
    expect(built.map((one) => [one.samples[0]?.lastXid, one.samples[0]?.flags])).toEqual([
      [31, 0],
      [null, 0],
    ]);
  });

  it('forget a field that stays away: the exporter was configured anew', () => {
    const scrapes = Array.from({ length: 21 }, (_, index) => ({ '0': power(71 + index) }));
    const flags = flagsOf([{ '0': { ...power(70), DEV_GPU_TEMP: 40 } }, ...scrapes]).flat();
    expect(flags.slice(0, 3)).toEqual([0, 2, 2]);
    expect(flags.at(-1)).toBe(0);
  });

  it('mark demo data and a doubtful clock', () => {
    const at = instantFromMs(start);
    const { readings } = parseMetrics(textOf({ '0': power(1) }));
    const built = builderOf({ demo: true }).samplesFrom(readings, {
      ts: at,
      ingestedAt: at,
      clockDoubtful: true,
    });
    expect(built.samples[0]?.flags).toBe(sampleFlags.demo | sampleFlags.clockDoubtful);
    expect(built.events[0]?.demo).toBe(true);
  });
});

describe('a driver that changed', () => {
  it('is said once for the node, not for each GPU', () => {
    const builder = builderOf();
    const both = { '0': power(70), '1': power(70) };
    feed(builder, [both], ',DCGM_FI_DRIVER_VERSION="580.1"');
    const [after] = feed(builder, [both], ',DCGM_FI_DRIVER_VERSION="590.2"');
    expect(after?.events).toMatchObject([
      { kind: 'driver.restarted', gpuUuid: '', node: 'node-1', detail: { from: '580.1', to: '590.2' } },
    ]);
  });
});

describe('who uses the GPU', () => {
  it.each<[string, string[], string]>([
    ['nobody', [''], ''],
    ['an HPC job', [',hpc_job="4711"'], '4711'],
    ['a pod', [',pod="p",pod_uid="u-1"'], 'u-1'],
    ['a pod without a uid says nothing that could be a lease', [',pod="p"'], ''],
    ['two jobs are both named', [',hpc_job="9"', ',hpc_job="10"'], '10,9'],
  ])('%s', (_case, labels, expected) => {
    const text = labels.map((more) => textOf({ '0': power(70) }, more)).join('');
    const at = instantFromMs(start);
    const built = builderOf().samplesFrom(parseMetrics(text).readings, { ts: at, ingestedAt: at });
    expect(built.samples.map((one) => one.leaseId)).toEqual([expected]);
  });
});
