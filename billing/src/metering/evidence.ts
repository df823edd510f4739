/** How well telemetry vouches for billed time: evidence beside the amount, never a reason to change it (rule 4). */
import { formatInstant, type Interval } from '@poolmeter/domain';
import {
  evidenceEnergy,
  evidenceQuality,
  evidenceQualityByMinute,
  readGpuSamples,
  type MetricsStore,
} from '@poolmeter/metrics-store';

interface GpuStretch extends Interval {
  readonly gpuUuid: string;
  readonly gpuInstance: string;
}

export interface Evidence {
  readonly coveredMs: number;
  readonly gapMs: number;
  readonly sampleCount: number;
  /** Mean over the covered time; null when no sample told it. */
  readonly meanActivityRatio: number | null;
  /** From the device's counter, reset by reset; null for instances and where there is no counter. */
  readonly energyJoules: number | null;
}

interface SampleQuery extends GpuStretch {
  readonly limit: number;
}

/** Where telemetry is looked up. */
export interface EvidenceSource {
  evidenceOf(stretch: GpuStretch): Promise<Evidence>;
  /** Raw samples, oldest first. */
  samplesOf(query: SampleQuery): Promise<object[]>;
}

/** Raw rows are kept for 30 days; older intervals are read by minute. */
const RAW_KEPT_MS = 29 * 86_400_000;

export interface EvidenceSourceOptions {
  readonly store: MetricsStore;
  readonly nowMs: () => number;
  /** How long one sample may vouch for; two scrape intervals as a rule, and never less than back-filled minutes need. */
  readonly maxGapMs?: number;
}

export function createEvidenceSource({
  store,
  nowMs,
  maxGapMs = 120_000,
}: EvidenceSourceOptions): EvidenceSource {
  return {
    async evidenceOf(stretch) {
      const range = { gpu_uuid: stretch.gpuUuid, from_ms: stretch.start, to_ms: stretch.end };
      const place = { ...range, gpu_instance: stretch.gpuInstance };
      const [quality] =
        stretch.start < nowMs() - RAW_KEPT_MS
          ? await store.query(evidenceQualityByMinute, place)
          : await store.query(evidenceQuality, { ...place, max_gap_ms: maxGapMs });
      const epochs = stretch.gpuInstance === '' ? await store.query(evidenceEnergy, range) : [];
      const joules = epochs.flatMap((epoch) => epoch.energy_joules ?? []);
      return {
        coveredMs: quality?.covered_ms ?? 0,
        gapMs: quality?.gap_ms ?? stretch.end - stretch.start,
        sampleCount: quality?.sample_count ?? 0,
        meanActivityRatio: quality?.mean_activity_ratio ?? null,
        energyJoules: joules.length === 0 ? null : joules.reduce((total, one) => total + one, 0),
      };
    },
    async samplesOf(query) {
      const points = await readGpuSamples(store, {
        gpuUuid: query.gpuUuid,
        gpuInstance: query.gpuInstance,
        fromMs: query.start,
        toMs: query.end,
        stepMs: 0,
        limit: query.limit,
      });
      return points.map((point) => ({
        gpu_uuid: query.gpuUuid,
        gpu_instance: query.gpuInstance,
        ...point,
        ts: formatInstant(point.ts),
      }));
    },
  };
}

/** As the API shows it and as it is stored. */
export function evidenceToJson(evidence: Evidence): Record<string, unknown> {
  const whole = evidence.coveredMs + evidence.gapMs;
  return {
    covered_seconds: evidence.coveredMs / 1_000,
    gap_seconds: evidence.gapMs / 1_000,
    coverage_ratio: whole === 0 ? null : evidence.coveredMs / whole,
    sample_count: evidence.sampleCount,
    mean_activity_ratio: evidence.meanActivityRatio,
    energy_joules: evidence.energyJoules,
  };
}

/** Of several intervals together; activity is weighted by the time that samples vouch for. */
export function combineEvidence(all: readonly Evidence[]): Evidence {
  const total = (value: (one: Evidence) => number) => all.reduce((sum, one) => sum + value(one), 0);
  const active = all.filter((one) => one.meanActivityRatio !== null);
  const weight = active.reduce((sum, one) => sum + one.coveredMs, 0);
  const energy = all.flatMap((one) => one.energyJoules ?? []);
  return {
    coveredMs: total((one) => one.coveredMs),
    gapMs: total((one) => one.gapMs),
    sampleCount: total((one) => one.sampleCount),
    meanActivityRatio:
      weight === 0
        ? null
        : active.reduce((sum, one) => sum + (one.meanActivityRatio ?? 0) * one.coveredMs, 0) / weight,
    energyJoules: energy.length === 0 ? null : energy.reduce((sum, one) => sum + one, 0),
  };
}
