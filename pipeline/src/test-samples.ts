/** Made-up samples and messages for the tests of this folder. */
import { instantFromMs } from '@poolmeter/domain';
import type { StoredMessage } from '@poolmeter/event-bus';
import {
  encodeSampleBatch,
  messageHeadersFor,
  SAMPLE_SCHEMA_VERSION,
  sampleSchemas,
  sampleSchemaV1,
  topics,
  type GpuSample,
  type SampleSchema,
} from '@poolmeter/telemetry-schema';
import { createAgentTopicRules } from './agent-topic-rules.js';
import { createLearnedNodes } from './node-registry.js';
import { createMessageReader } from './rows-of-message.js';

const START_MS = Date.UTC(2026, 2, 1, 23, 59, 50);

/** A version that this release does not know: one column more at the end. */
export const sampleSchemaV2: SampleSchema = {
  version: 2,
  columns: [
    ...sampleSchemaV1.columns,
    {
      field: 'powerLimitWatts',
      unitColumn: 'power_limit_default_watts',
      storedColumn: 'raw_power_limit_default_watts',
      type: 'UInt16',
      scale: 1,
      missing: 65_535n,
    },
  ],
};

/** Samples differ in their time: `tick` counts seconds from ten seconds before a midnight. */
export function sampleAt(tick: number, gpuUuid = 'GPU-1'): GpuSample {
  return {
    ts: instantFromMs(START_MS + tick * 1_000),
    ingestedAt: instantFromMs(START_MS + tick * 1_000 + 5),
    node: 'gpu-node-1',
    gpuUuid,
    gpuInstance: '',
    gpuInstanceProfile: '',
    gpuModel: 'NVIDIA H100 80GB HBM3',
    pool: 'main',
    providerId: 'north',
    gpuIndex: 0,
    leaseId: '',
    gpuUtilRatio: 0.5,
    memoryCopyUtilRatio: null,
    graphicsEngineActiveRatio: null,
    smActiveRatio: 0.25,
    smOccupancyRatio: null,
    tensorActiveRatio: null,
    dramActiveRatio: null,
    memoryUsedBytes: null,
    memoryTotalBytes: null,
    powerWatts: 350.5,
    powerLimitWatts: 700,
    energyJoules: tick,
    energyEpoch: 0,
    temperatureCelsius: 60,
    memoryTemperatureCelsius: null,
    temperatureMarginCelsius: null,
    smClockMhz: 1_980,
    memoryClockMhz: null,
    throttleReasons: 0,
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
}

/** One batch as an agent publishes it. */
export function sampleMessageValue(
  ticks: readonly number[],
  sequence: number,
  over: Partial<GpuSample> = {},
  schema = sampleSchemaV1,
): Buffer {
  const header = { producer: 'agent-1', producerEpoch: 1n, sequence: BigInt(sequence) };
  return encodeSampleBatch(
    header,
    ticks.map((tick) => ({ ...sampleAt(tick), ...over })),
    { schema },
  );
}

export function sampleHeaders(sequence: number): Record<string, string> {
  return messageHeadersFor({
    schema: 'gpu-sample',
    schemaVersion: SAMPLE_SCHEMA_VERSION,
    producer: 'agent-1',
    producerEpoch: 1n,
    sequence: BigInt(sequence),
  });
}

export function storedSamples(offset: number, ticks: readonly number[], sequence = offset): StoredMessage {
  return {
    topic: topics.gpuSamples,
    partition: 0,
    offset: BigInt(offset),
    storedAtMs: START_MS + offset,
    key: 'gpu-node-1',
    headers: sampleHeaders(sequence),
    value: sampleMessageValue(ticks, sequence),
  };
}

/** Reads messages as a pipeline does that trusts the shared topics. */
export const readTestMessage = createMessageReader({
  schemas: sampleSchemas,
  rules: createAgentTopicRules({
    registry: createLearnedNodes([]),
    sharedTopic: 'trust',
    onForeign: () => undefined,
    onRelabelled: () => undefined,
  }),
});

/** Bytes that are no sample batch. */
export function storedRubbish(offset: number): StoredMessage {
  return { ...storedSamples(offset, []), value: Buffer.from(`rubbish ${offset}`) };
}
