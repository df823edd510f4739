import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PoolmeterError, systemClock } from '@poolmeter/domain';
import type { BusMessage } from '@poolmeter/event-bus';
import { createLogger, createTelemetry, type Component } from '@poolmeter/service';
import {
  decodeGpuEvent,
  decodeSampleBatchHeader,
  decodeSampleRows,
  topics,
  type GpuEvent,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCollector, type CollectorSettings } from './collector.js';

const logger = createLogger({ service: 'test', level: 'silent' });
let directory: string;
const servers: Server[] = [];
const running: Component[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poolmeter-collector-'));
});

afterEach(async () => {
  for (const component of running.splice(0)) await component.stop();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await rm(directory, { recursive: true, force: true });
});

/** An exporter whose answer can be changed while it runs. */
async function exporter(answer: (response: ServerResponse) => void) {
  const state = { answer };
  const server = createServer((_request, response) => state.answer(response));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { state, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics` };
}

let reading = 0;
/** A page with two GPUs whose energy grows with each scrape. */
function page(response: ServerResponse): void {
  reading += 1;
  const row = (gpu: number, name: string, value: number) =>
    `DCGM_FI_${name}{gpu="${gpu}",UUID="GPU-${gpu}",pci_bus_id="00000000:2${gpu}:00.0",modelName="NVIDIA H100",Hostname="gpu-1"} ${value}\n`;
  const gpus = [0, 1].map(
    (gpu) => row(gpu, 'DEV_GPU_TEMP', 40) + row(gpu, 'DEV_TOTAL_ENERGY_CONSUMPTION', reading * 1000),
  );
  response.end(gpus.join(''));
}

/** A bus in memory that can be away. */
function fakeBus() {
  const bus = {
    away: false,
    messages: [] as { topic: string; message: BusMessage }[],
    publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
      if (bus.away) return Promise.reject(new PoolmeterError('dependency.unavailable', 'The bus is away.'));
      bus.messages.push(...messages.map((message) => ({ topic, message })));
      return Promise.resolve();
    },
    of: (topic: string) => bus.messages.filter((one) => one.topic === topic).map((one) => one.message),
    samples: (): GpuSample[] =>
      bus.of(topics.gpuSamples).flatMap((message) => {
        const batch = decodeSampleBatchHeader(message.value);
        return decodeSampleRows(batch.rows, batch.rowCount);
      }),
    events: (): GpuEvent[] => bus.of(topics.gpuEvents).map((message) => decodeGpuEvent(message.value)),
    kinds: () => bus.events().map((event) => event.kind),
  };
  return bus;
}

function collect(bus: ReturnType<typeof fakeBus>, settings: Partial<CollectorSettings>) {
  const telemetry = createTelemetry({ service: 'test', processMetrics: false });
  const collector = createCollector({
    bus,
    clock: systemClock,
    logger,
    telemetry,
    config: {
      targets: [],
      kernelLogs: [],
      intervalMs: 40,
      stateDir: join(directory, 'state'),
      agent: 'agent-1',
      kernelLogPollMs: 20,
      ...settings,
    },
  });
  running.push(collector);
  return { collector, telemetry };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + 8_000;
  while (!condition()) {
    if (Date.now() > giveUpAt) throw new Error(`Within 8 s there was no ${what}.`);
    await systemClock.sleep(10);
  }
}

const sequencesOf = (messages: readonly BusMessage[]) =>
  messages.map((message) => Number(message.headers['sequence']));

const target = (url: string) => ({ url, pool: 'main', providerId: 'north' });

describe('the collector', () => {
  it('speaks on its provider’s own topics, and on no others', async () => {
    const bus = fakeBus();
    const { url } = await exporter(page);
    const targets = [{ url, node: 'gpu-1', pool: 'main', providerId: 'north' }];
    const { collector } = collect(bus, { targets, topicsOfProvider: 'north' });
    await collector.start();
    await until('a sample and an event', () => new Set(bus.messages.map(({ topic }) => topic)).size >= 2);
    expect(new Set(bus.messages.map(({ topic }) => topic))).toEqual(
      new Set(['poolmeter.gpu-samples.north', 'poolmeter.gpu-events.north']),
    );
  });

  it('publishes every scrape as one batch for the node, numbered', async () => {
    const { url } = await exporter(page);
    const bus = fakeBus();
    const { collector, telemetry } = collect(bus, { targets: [target(url)] });
    await collector.start();
    await until('third batch', () => bus.of(topics.gpuSamples).length >= 3);
    await collector.stop();
    const batches = bus.of(topics.gpuSamples);
    expect(batches.every((message) => message.key === 'gpu-1')).toBe(true);
    expect(batches[0]?.headers).toMatchObject({
      schema: 'gpu-sample',
      'schema-version': '1',
      producer: 'agent-1',
    });
    expect(sequencesOf(batches)).toEqual(batches.map((_, index) => index));
    expect(sequencesOf(bus.of(topics.gpuEvents))).toEqual([0, 1]);
    expect(bus.samples().slice(0, 2)).toMatchObject([
      { node: 'gpu-1', gpuUuid: 'GPU-0', pool: 'main', providerId: 'north', temperatureCelsius: 40 },
      { node: 'gpu-1', gpuUuid: 'GPU-1' },
    ]);
    expect(bus.kinds()).toEqual(['gpu.appeared', 'gpu.appeared']);
    expect(await telemetry.metricsText()).toMatch(/poolmeter_collector_scrapes_total\{outcome="ok"\} \d/);
  });

  it.each<[string, (response: ServerResponse) => void, object]>([
    ['answers 500', (response) => response.writeHead(500).end('no'), { reason: 'http-status', status: 500 }],
    ['never answers', () => undefined, { reason: 'timeout' }],
    ['talks rubbish', (response) => response.end('<html>\nhello\n'), { reason: 'unparsable' }],
    ['breaks off', (response) => response.destroy(), { reason: 'network' }],
    ['sends too much', (response) => response.end('#'.repeat(5_000)), { reason: 'too-large' }],
  ])('says that an exporter is down that %s, and goes on with the others', async (_case, answer, detail) => {
    const sick = await exporter(answer);
    const well = await exporter(page);
    const bus = fakeBus();
    const { collector } = collect(bus, {
      targets: [{ ...target(sick.url), node: 'sick-1' }, target(well.url)],
      scrapeTimeoutMs: 60,
      maxScrapeBytes: 2_000,
    });
    await collector.start();
    await until('source.down', () => bus.kinds().includes('source.down'));
    const samplesWhileDown = bus.samples().length;
    expect(samplesWhileDown).toBeGreaterThan(0);
    sick.state.answer = page;
    await until('source.back', () => bus.kinds().includes('source.back'));
    const down = bus.events().find((event) => event.kind === 'source.down');
    expect(down).toMatchObject({
      node: 'sick-1',
      gpuUuid: '',
      detail: { url: sick.url, failures: 3, ...detail },
    });
    await until('samples of the one that is back', () =>
      bus.samples().some((sample) => sample.node === 'sick-1'),
    );
  });

  it('says that nothing listens, and that it was restarted when something does', async () => {
    const { url } = await exporter(page);
    const port = Number(new URL(url).port);
    await new Promise((resolve) => servers.pop()?.close(resolve));
    const bus = fakeBus();
    const { collector } = collect(bus, { targets: [target(url)] });
    await collector.start();
    await until('source.down', () => bus.kinds().includes('source.down'));
    expect(bus.events()[0]).toMatchObject({ node: '127.0.0.1', detail: { reason: 'refused' } });
    const again = createServer((_request, response) => page(response));
    servers.push(again);
    await new Promise<void>((resolve) => again.listen(port, '127.0.0.1', resolve));
    await until('source.back', () => bus.kinds().includes('source.back'));
    expect(bus.kinds()).toContain('exporter.restarted');
  });

  it('keeps what the bright lines of a damaged page say, and marks it', async () => {
    const { url } = await exporter((response) => {
      response.write('DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-0",Hostname="gpu-1"} 41\n');
      response.end('DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-\n');
    });
    const bus = fakeBus();
    const { collector, telemetry } = collect(bus, { targets: [target(url)] });
    await collector.start();
    await until('source.partial', () => bus.kinds().includes('source.partial'));
    expect(bus.samples()[0]).toMatchObject({ temperatureCelsius: 41, powerWatts: null, flags: 2 });
    expect(await telemetry.metricsText()).toMatch(/bad_lines_total\{reason="syntax"\} \d/);
  });

  it('loses nothing while the bus is away', async () => {
    const { url } = await exporter(page);
    const bus = fakeBus();
    const { collector } = collect(bus, { targets: [target(url)] });
    await collector.start();
    await until('first batch', () => bus.of(topics.gpuSamples).length > 0);
    bus.away = true;
    await systemClock.sleep(300);
    bus.away = false;
    await systemClock.sleep(600);
    await collector.stop();
    const sequences = sequencesOf(bus.of(topics.gpuSamples));
    expect(sequences).toEqual(sequences.map((_, index) => index));
    expect(sequences.length).toBeGreaterThan(10);
  });

  it('remembers GPUs, energy epochs and its own epoch over a restart', async () => {
    const { url, state } = await exporter(page);
    const bus = fakeBus();
    const first = collect(bus, { targets: [target(url)] }).collector;
    await first.start();
    await until('first batch', () => bus.of(topics.gpuSamples).length > 0);
    await first.stop();
    const epochBefore = BigInt(bus.messages.at(-1)?.message.headers['producer-epoch'] ?? '0');
    const countBefore = bus.messages.length;
    state.answer = (response) =>
      response.end('DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-0",Hostname="gpu-1"} 5\n');
    const second = collect(bus, { targets: [target(url)] }).collector;
    await second.start();
    await until('counter.reset', () => bus.kinds().includes('counter.reset'));
    await until('gpu.lost', () => bus.kinds().includes('gpu.lost'));
    await second.stop();
    const later = bus.messages.slice(countBefore);
    expect(later.every((one) => BigInt(one.message.headers['producer-epoch'] ?? '0') > epochBefore)).toBe(
      true,
    );
    expect(bus.events().filter((event) => event.kind === 'gpu.appeared')).toHaveLength(2);
    expect(bus.samples().at(-1)).toMatchObject({ gpuUuid: 'GPU-0', energyEpoch: 1 });
    expect(bus.events().find((event) => event.kind === 'gpu.lost')).toMatchObject({
      gpuUuid: 'GPU-1',
      node: 'gpu-1',
    });
  });

  it('refuses a state that is not its own instead of beginning anew in silence', async () => {
    const first = collect(fakeBus(), {}).collector;
    await first.start();
    await first.stop();
    await writeFile(join(directory, 'state', 'collector-state.json'), '{"version":1');
    await expect(collect(fakeBus(), {}).collector.start()).rejects.toMatchObject({ code: 'storage.corrupt' });
  });
});

describe('kernel logs', () => {
  const xid = (code: number, second: number) =>
    `2026-03-01T10:40:0${second}.250000+00:00 gpu-1 kernel: NVRM: Xid (PCI:0000:21:00): ${code}, pid=1, name=a, words\n`;

  it('become events of the GPU at that address, each once, over a restart and a rotation', async () => {
    const { url } = await exporter(page);
    const file = join(directory, 'kern.log');
    await writeFile(file, `${xid(31, 0)}2026-03-01T10:40:00.3Z gpu-1 kernel: usb 1-1: something else\n`);
    const bus = fakeBus();
    const settings = { targets: [target(url)], kernelLogs: [{ file, pool: 'main', providerId: 'north' }] };
    const xids = () => bus.events().filter((event) => event.kind === 'xid');
    const first = collect(bus, settings).collector;
    await first.start();
    await until('first Xid', () => xids().length === 1);
    await appendFile(file, xid(79, 1));
    await until('second Xid', () => xids().length === 2);
    await first.stop();
    await appendFile(file, xid(154, 2));
    const second = collect(bus, settings).collector;
    await second.start();
    await until('third Xid', () => xids().length === 3);
    await second.stop();
    expect(xids()).toMatchObject([
      { code: 31, gpuUuid: 'GPU-1', node: 'gpu-1', ts: Date.parse('2026-03-01T10:40:00.250Z') },
      { code: 79, gpuUuid: 'GPU-1', ts: Date.parse('2026-03-01T10:40:01.250Z') },
      { code: 154, gpuUuid: 'GPU-1', ts: Date.parse('2026-03-01T10:40:02.250Z') },
    ]);
    expect(new Set(xids().map((event) => event.sequence)).size).toBe(3);
    const state = JSON.parse(
      await readFile(join(directory, 'state', 'collector-state.json'), 'utf8'),
    ) as object;
    expect(state).toMatchObject({
      logs: { [file]: { position: { offset: (await readFile(file)).length } } },
    });
  });

  it('are the same events when the agent forgot that it had read them', async () => {
    const file = join(directory, 'kern.log');
    await writeFile(file, xid(31, 0) + xid(31, 0) + xid(79, 1));
    const read = async (stateDir: string) => {
      const bus = fakeBus();
      const { collector } = collect(bus, {
        stateDir: join(directory, stateDir),
        kernelLogs: [{ file, node: 'gpu-1', pool: 'main', providerId: 'north' }],
      });
      await collector.start();
      await until('three events', () => bus.events().length === 3);
      await collector.stop();
      return bus.events().map((event) => `${event.node}/${event.bootId}/${event.kind}/${event.sequence}`);
    };
    const once = await read('a');
    expect(new Set(once).size).toBe(3);
    expect(await read('b')).toEqual(once);
  });

  it('wait for a file that does not exist yet', async () => {
    const file = join(directory, 'later.log');
    const bus = fakeBus();
    const { collector } = collect(bus, {
      kernelLogs: [{ file, node: 'gpu-1', pool: 'main', providerId: 'north' }],
    });
    await collector.start();
    await systemClock.sleep(60);
    await writeFile(file, xid(48, 0));
    await until('event', () => bus.events().length === 1);
  });
});
