/** One GPU's history at the resolution that was asked for, from the smallest table that has it. */
import { PoolmeterError } from '@poolmeter/domain';
import type { MetricsStore } from '../metrics-store.js';
import { gpuSamplesByHour } from './gpu-samples-by-hour.js';
import { gpuSamplesByMinute } from './gpu-samples-by-minute.js';
import { gpuSamplesRaw } from './gpu-samples-raw.js';
import { gpuSamplesStepped } from './gpu-samples-stepped.js';
import type { SamplePoint } from './sample-point.js';

export interface GpuSamplesRequest {
  readonly gpuUuid: string;
  /** '' or absent for the whole GPU. */
  readonly gpuInstance?: string;
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
  /** Distance of the points; 0 = every stored sample; absent = chosen by the length of the range. */
  readonly stepMs?: number;
  readonly limit: number;
}

export type SampleTable = 'raw' | 'stepped' | 'minute' | 'hour';

const MINUTE_S = 60;
const HOUR_S = 3_600;
const DAY_MS = 86_400_000;

/** Raw up to 6 hours, minutes up to 7 days, hours beyond, when nothing was asked for. */
export function stepSecondsFor(rangeMs: number): number {
  if (rangeMs <= DAY_MS / 4) return 0;
  return rangeMs <= 7 * DAY_MS ? MINUTE_S : HOUR_S;
}

export function sampleTableFor(stepS: number): SampleTable {
  if (stepS === 0) return 'raw';
  if (stepS % HOUR_S === 0) return 'hour';
  return stepS % MINUTE_S === 0 ? 'minute' : 'stepped';
}

/** Points oldest first; at most `limit` of them. */
export function readGpuSamples(store: MetricsStore, request: GpuSamplesRequest): Promise<SamplePoint[]> {
  const stepS = stepSeconds(request);
  const range = {
    gpu_uuid: request.gpuUuid,
    gpu_instance: request.gpuInstance ?? '',
    from_ms: request.fromMs,
    to_ms: request.toMs,
    limit: request.limit,
  };
  switch (sampleTableFor(stepS)) {
    case 'raw':
      return store.query(gpuSamplesRaw, range);
    case 'stepped':
      return store.query(gpuSamplesStepped, { ...range, step_s: stepS });
    case 'minute':
      return store.query(gpuSamplesByMinute, { ...range, step_s: stepS });
    case 'hour':
      return store.query(gpuSamplesByHour, { ...range, step_s: stepS });
  }
}

function stepSeconds({ stepMs, fromMs, toMs }: GpuSamplesRequest): number {
  if (stepMs === undefined) return stepSecondsFor(toMs - fromMs);
  if (stepMs >= 0 && stepMs % 1_000 === 0) return stepMs / 1_000;
  throw new PoolmeterError('input.invalid', `A step must be whole seconds, not ${stepMs} ms.`);
}
