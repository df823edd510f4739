/** A fleet that sends in real time: every node is scraped once per interval, all of them spread evenly over it. */
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
import { createGpu, gpuUuidOf, sampleOf } from './made-up-fleet.js';
import { createRandom } from './kill-rounds/random.js';

const GPUS_PER_NODE = 8;
const TICK_MS = 50;

export interface SendingFleet {
  rowsSent(): number;
  /** Some GPUs, spread over the fleet. */
  uuidsOf(count: number): string[];
  stop(): Promise<void>;
}

export interface SendingFleetOptions {
  readonly bus: EventBus;
  readonly gpus: number;
  readonly scrapeIntervalMs: number;
}

export function startSendingFleet({ bus, gpus, scrapeIntervalMs }: SendingFleetOptions): SendingFleet {
  const random = createRandom(20_260_302);
  const fleet = Array.from({ length: gpus }, (_, index) => createGpu(index, random));
  const nodes = gpus / GPUS_PER_NODE;
  const startedAtMs = Date.now();
  let stopping = false;
  let sent = 0;
  let nextTurn = 0;
  const run = async () => {
    while (!stopping) {
      const dueTurn = Math.floor(((Date.now() - startedAtMs) / scrapeIntervalMs) * nodes);
      const messages: BusMessage[] = [];
      for (; nextTurn < dueTurn; nextTurn += 1) messages.push(messageOf(nextTurn));
      if (messages.length > 0) await bus.publish(topics.gpuSamples, messages);
      sent += messages.length * GPUS_PER_NODE;
      await pause(TICK_MS);
    }
  };
  const messageOf = (turn: number): BusMessage => {
    const node = turn % nodes;
    const now = Date.now();
    const samples = fleet
      .slice(node * GPUS_PER_NODE, (node + 1) * GPUS_PER_NODE)
      .map((gpu): GpuSample => ({ ...sampleOf(gpu, now, random), ingestedAt: instantFromMs(now) }));
    const producer = samples[0]?.node ?? '';
    const sequence = BigInt(Math.floor(turn / nodes));
    const origin = { producer, producerEpoch: BigInt(startedAtMs), sequence };
    return {
      key: producer,
      headers: messageHeadersFor({
        schema: 'gpu-sample',
        schemaVersion: SAMPLE_SCHEMA_VERSION,
        ...origin,
      }),
      value: encodeSampleBatch(origin, samples),
    };
  };
  const running = run();
  return {
    rowsSent: () => sent,
    uuidsOf: (count) =>
      fleet
        .filter(({ index }) => index % Math.floor(gpus / count) === 0)
        .slice(0, count)
        .map(gpuUuidOf),
    stop: async () => {
      stopping = true;
      await running;
    },
  };
}
