/** A sample of a busy, healthy GPU, for tests: give only what differs. */
import { sampleColumnsV1, type GpuSample } from '@poolmeter/telemetry-schema';
import { GPU, NODE } from '../verdict/evidence-in-words.js';

export function sampleInWords(facts: Partial<GpuSample> & Pick<GpuSample, 'ts'>): GpuSample {
  const blanks = sampleColumnsV1.filter((one) => one.missing !== undefined).map((one) => [one.field, null]);
  return {
    ...(Object.fromEntries(blanks) as unknown as GpuSample),
    ingestedAt: facts.ts,
    node: NODE,
    gpuUuid: GPU,
    gpuInstance: '',
    gpuInstanceProfile: '',
    gpuModel: 'NVIDIA H100 80GB HBM3',
    pool: 'main',
    providerId: 'north',
    gpuIndex: 0,
    leaseId: '',
    energyEpoch: 0,
    flags: 0,
    graphicsEngineActiveRatio: 0.9,
    gpuUtilRatio: 0.98,
    temperatureCelsius: 61,
    memoryUsedBytes: 60 * 2 ** 30,
    memoryTotalBytes: 80 * 2 ** 30,
    recoveryAction: 0,
    ...facts,
  };
}
