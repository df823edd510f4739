/** Agents of a small fleet: they send samples, some twice, some late, some out of range, and now and then rubbish. */
import { setTimeout as pause } from 'node:timers/promises';
import { instantFromMs } from '@poolmeter/domain';
import type { BusMessage, EventBus } from '@poolmeter/event-bus';
import {
  encodeSampleBatch,
  messageHeadersFor,
  SAMPLE_SCHEMA_VERSION,
  topics,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import type { Random } from './random.js';
import type { Truth } from './truth.js';

const NODES = 24;
const GPUS_PER_NODE = 8;
const NODES_PER_TICK = 12;
const TICK_MS = 50;
const RETRY_MS = 200;
const SHARE_REPEATED = 0.05;
const SHARE_LATE = 0.05;
const SHARE_OUT_OF_RANGE = 0.01;
const SHARE_RUBBISH = 0.01;
const DAY_MS = 86_400_000;
const STEP_MS = 1_000;
/** Above what the range check lets pass. */
const IMPOSSIBLE_CELSIUS = 200;

interface Agent {
  readonly node: string;
  sequence: bigint;
  nextTsMs: number;
  nextLateTsMs: number;
}

export class Agents {
  readonly #bus: EventBus;
  readonly #truth: Truth;
  readonly #random: Random;
  readonly #agents: readonly Agent[];
  readonly #repeats: BusMessage[] = [];
  #rubbish = 0;
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(bus: EventBus, truth: Truth, random: Random) {
    this.#bus = bus;
    this.#truth = truth;
    this.#random = random;
    const fromMs = Date.now() - DAY_MS / 4;
    this.#agents = Array.from({ length: NODES }, (_, at) => ({
      node: `node-${at}`,
      sequence: 0n,
      nextTsMs: fromMs,
      nextLateTsMs: fromMs - 2 * DAY_MS,
    }));
  }

  start(): void {
    this.#stopping = false;
    this.#running ??= this.#run();
  }

  /** Resolves when everything that was begun is acknowledged. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    this.#running = undefined;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const messages = Array.from({ length: NODES_PER_TICK }, () => this.#message());
      while (this.#repeats.length > 0) messages.push(this.#repeats.pop()!);
      await this.#publish(messages);
      for (const message of messages) if (this.#random.isTrueIn(SHARE_REPEATED)) this.#repeats.push(message);
      await pause(TICK_MS);
    }
  }

  /** As an agent does: the same messages again until they are acknowledged. */
  async #publish(messages: readonly BusMessage[]): Promise<void> {
    for (;;) {
      try {
        await this.#bus.publish(topics.gpuSamples, messages);
        return;
      } catch {
        // The broker is away; it is not known what of it was stored.
        await pause(RETRY_MS);
      }
    }
  }

  #message(): BusMessage {
    const agent = this.#random.pick(this.#agents);
    if (this.#random.isTrueIn(SHARE_RUBBISH)) return this.#rubbishOf(agent);
    agent.sequence += 1n;
    const origin = { producer: agent.node, producerEpoch: 1n, sequence: agent.sequence };
    const schema = { schema: 'gpu-sample', schemaVersion: SAMPLE_SCHEMA_VERSION } as const;
    return {
      key: agent.node,
      headers: messageHeadersFor({ ...schema, ...origin }),
      value: encodeSampleBatch(origin, this.#samplesOf(agent)),
    };
  }

  #rubbishOf(agent: Agent): BusMessage {
    const text = `rubbish ${(this.#rubbish += 1)}`;
    this.#truth.rubbish.add(text);
    return { key: agent.node, headers: {}, value: Buffer.from(text) };
  }

  #samplesOf(agent: Agent): GpuSample[] {
    const isLate = this.#random.isTrueIn(SHARE_LATE);
    const tsMs = isLate ? agent.nextLateTsMs : agent.nextTsMs;
    if (isLate) agent.nextLateTsMs += STEP_MS;
    else agent.nextTsMs += STEP_MS;
    return Array.from({ length: GPUS_PER_NODE }, (_, index) => this.#sample(agent, index, tsMs));
  }

  #sample(agent: Agent, index: number, tsMs: number): GpuSample {
    const gpuUuid = `GPU-${agent.node}-${index}`;
    const powerDeciwatts = this.#random.between(600, 7_000);
    const isRefused = this.#random.isTrueIn(SHARE_OUT_OF_RANGE);
    if (isRefused) this.#truth.rejects += 1;
    else this.#truth.add({ gpuUuid, tsMs, powerDeciwatts });
    return {
      ...NOTHING_MEASURED,
      ts: instantFromMs(tsMs),
      ingestedAt: instantFromMs(tsMs + 5),
      node: agent.node,
      gpuUuid,
      gpuIndex: index,
      powerWatts: powerDeciwatts / 10,
      temperatureCelsius: isRefused ? IMPOSSIBLE_CELSIUS : 60,
    };
  }
}

const NOTHING_MEASURED: Omit<GpuSample, 'ts' | 'ingestedAt' | 'node' | 'gpuUuid' | 'gpuIndex'> = {
  gpuInstance: '',
  gpuInstanceProfile: '',
  gpuModel: 'NVIDIA H100 80GB HBM3',
  pool: 'main',
  providerId: 'north',
  leaseId: '',
  gpuUtilRatio: null,
  memoryCopyUtilRatio: null,
  graphicsEngineActiveRatio: null,
  smActiveRatio: null,
  smOccupancyRatio: null,
  tensorActiveRatio: null,
  dramActiveRatio: null,
  memoryUsedBytes: null,
  memoryTotalBytes: null,
  powerWatts: null,
  powerLimitWatts: null,
  energyJoules: null,
  energyEpoch: 0,
  temperatureCelsius: null,
  memoryTemperatureCelsius: null,
  temperatureMarginCelsius: null,
  smClockMhz: null,
  memoryClockMhz: null,
  throttleReasons: null,
  pcieTxBytesPerSecond: null,
  pcieRxBytesPerSecond: null,
  nvlinkBytesPerSecond: null,
  pcieReplayTotal: null,
  eccCorrectableTotal: null,
  eccUncorrectableTotal: null,
  rowRemapCorrectableTotal: null,
  rowRemapUncorrectableTotal: null,
  rowRemapState: null,
  recoveryAction: null,
  lastXid: null,
  flags: 0,
};
