/** How well telemetry vouches for billed time: evidence beside the amount, never a reason to change it (rule 4). */
import { formatInstant, instantFromMs, type EpochMs, type Interval } from '@poolmeter/domain';
import { readGpuSamples, type MetricsStore, type QueryRow } from '@poolmeter/metrics-store';
import {
  copiedIntervals,
  stretchEnergy,
  stretchQuality,
  stretchQualityByMinute,
  usedHours,
} from './evidence-queries.js';

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
  /** In the order of the question. */
  evidenceOf(stretches: readonly GpuStretch[]): Promise<Evidence[]>;
  /** Raw samples, oldest first. */
  samplesOf(query: SampleQuery): Promise<object[]>;
  /** Whole hours in which a GPU was more active than it would be by itself. */
  usedHours(range: Interval): Promise<UsedHour[]>;
  /** What the copies of intervals for charts add up to, by invoice. */
  copiesOf(invoiceIds: readonly string[]): Promise<CopiedInvoice[]>;
}

export interface UsedHour {
  readonly gpuUuid: string;
  readonly start: EpochMs;
  readonly activityRatio: number;
}

export interface CopiedInvoice {
  readonly invoiceId: string;
  readonly intervals: number;
  /** Decimal text. */
  readonly amount: string;
}

/** Mean SM activity of an hour; below it is what drivers and monitors do. */
const IDLE_ACTIVITY_RATIO = 0.05;

/** Raw rows are kept for 30 days; older intervals are read by minute. */
const RAW_KEPT_MS = 29 * 86_400_000;
/** As much leased time as one query is asked about: it bounds what the server holds in memory. */
const HOURS_PER_QUERY = 40_000;
const HOUR_MS = 3_600_000;

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
    async evidenceOf(stretches) {
      const oldest = nowMs() - RAW_KEPT_MS;
      const found = stretches.map((one) => nothingSeen(one));
      const asked = stretches.map((stretch, index) => ({ stretch, index }));
      for (const { params, places } of batchesOf(asked.filter(({ stretch }) => stretch.start >= oldest))) {
        const rows = await store.query(stretchQuality, { ...params, max_gap_ms: maxGapMs });
        fillIn(found, rows, places);
        for (const { id, energy_joules } of rows) fillInEnergy(found, places[id - 1], energy_joules);
      }
      for (const { params, places } of batchesOf(asked.filter(({ stretch }) => stretch.start < oldest))) {
        fillIn(found, await store.query(stretchQualityByMinute, params), places);
      }
      const old = asked.filter(({ stretch }) => stretch.gpuInstance === '' && stretch.start < oldest);
      for (const { params, places } of batchesOf(old)) {
        const rows = await store.query(stretchEnergy, params);
        for (const { id, energy_joules } of rows) fillInEnergy(found, places[id - 1], energy_joules);
      }
      return found;
    },
    async usedHours(range) {
      const asked = { from_ms: range.start, to_ms: range.end, above: IDLE_ACTIVITY_RATIO };
      const rows = await store.query(usedHours, asked);
      return rows.map((row) => ({
        gpuUuid: row.gpu_uuid,
        start: instantFromMs(row.hour_ms),
        activityRatio: row.activity_ratio,
      }));
    },
    async copiesOf(invoiceIds) {
      if (invoiceIds.length === 0) return [];
      const rows = await store.query(copiedIntervals, { invoice_ids: [...invoiceIds] });
      return rows.map(({ invoice_id, intervals, amount }) => ({ invoiceId: invoice_id, intervals, amount }));
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

interface PlacedStretch {
  readonly stretch: GpuStretch;
  /** Where its answer belongs. */
  readonly index: number;
}

interface Batch {
  readonly params: ReturnType<typeof paramsOf>;
  /** Where the answer about the first, second … interval belongs. */
  readonly places: readonly number[];
}

/** By GPU and time, so that a query reads few GPUs; an empty interval needs no question. */
function batchesOf(asked: readonly PlacedStretch[]): Batch[] {
  const inOrder = asked
    .filter(({ stretch }) => stretch.end > stretch.start)
    .sort(
      ({ stretch: a }, { stretch: b }) =>
        (a.gpuUuid < b.gpuUuid ? -1 : a.gpuUuid > b.gpuUuid ? 1 : 0) || a.start - b.start,
    );
  const batches: PlacedStretch[][] = [];
  let hours = Number.POSITIVE_INFINITY;
  for (const one of inOrder) {
    const own = 1 + (one.stretch.end - one.stretch.start) / HOUR_MS;
    if (hours + own > HOURS_PER_QUERY) {
      batches.push([]);
      hours = 0;
    }
    hours += own;
    batches.at(-1)?.push(one);
  }
  return batches.map((batch) => ({
    params: paramsOf(batch.map(({ stretch }) => stretch)),
    places: batch.map(({ index }) => index),
  }));
}

function paramsOf(stretches: readonly GpuStretch[]) {
  return {
    from_ms: stretches.reduce((least, one) => Math.min(least, one.start), Number.MAX_SAFE_INTEGER),
    to_ms: stretches.reduce((most, one) => Math.max(most, one.end), 0),
    gpus: stretches.map((one) => one.gpuUuid),
    instances: stretches.map((one) => one.gpuInstance),
    starts: stretches.map((one) => one.start),
    ends: stretches.map((one) => one.end),
  };
}

function nothingSeen({ start, end }: GpuStretch): Evidence {
  return { coveredMs: 0, gapMs: end - start, sampleCount: 0, meanActivityRatio: null, energyJoules: null };
}

function fillIn(
  found: Evidence[],
  rows: readonly QueryRow<typeof stretchQualityByMinute>[],
  places: readonly number[],
): void {
  for (const row of rows) {
    const place = places[row.id - 1] as number;
    const before = found[place] as Evidence;
    found[place] = {
      ...before,
      coveredMs: row.covered_ms,
      gapMs: before.gapMs - row.covered_ms,
      sampleCount: row.sample_count,
      meanActivityRatio: row.mean_activity_ratio,
    };
  }
}

function fillInEnergy(found: Evidence[], place: number | undefined, joules: number | null): void {
  const before = place === undefined ? undefined : found[place];
  if (place !== undefined && before !== undefined) found[place] = { ...before, energyJoules: joules };
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
