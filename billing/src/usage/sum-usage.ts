/** GPU time by whatever one wants to see it by: a pure function of leases, verdicts and a range. */
import { formatInstant, gpuTimeToJson, type EpochMs, type Interval } from '@poolmeter/domain';
import type { LeaseSegment } from '../leases/fold-leases.js';
import { meterLeases, sumTimes, totalsOf, type MeteredInterval } from '../metering/meter-leases.js';
import type { Verdict } from '../metering/verdict.js';
import { bucketStarts, type BucketSize } from '../invoicing/period.js';

export const usageGroups = [
  'customer_id',
  'provider_id',
  'project',
  'pool',
  'node',
  'gpu_uuid',
  'gpu_model',
  'pricing_mode',
  'lease_id',
] as const;

export type UsageGroup = (typeof usageGroups)[number];

export interface UsageQuery {
  readonly range: Interval;
  readonly asOf: EpochMs;
  readonly groupBy: readonly UsageGroup[];
  readonly bucket: BucketSize | undefined;
  /** Zone of days and months. */
  readonly zone: string;
}

export interface UsageInputs {
  readonly segments: readonly LeaseSegment[];
  readonly verdicts: readonly Verdict[];
  readonly overlapping: ReadonlyMap<string, readonly string[]>;
}

interface UsageRow {
  readonly group: Readonly<Record<string, string>>;
  readonly gpu_ms: string;
  readonly gpu_hours: string;
  readonly billed_gpu_ms: string;
  readonly excluded_gpu_ms: string;
  readonly held_gpu_ms: string;
}

export interface UsageSum {
  readonly rows: readonly UsageRow[];
  readonly total: UsageRow;
}

export function sumUsage(inputs: UsageInputs, query: UsageQuery): UsageSum {
  const buckets = query.bucket === undefined ? [] : bucketStarts(query.range, query.bucket, query.zone);
  const metered = meterLeases(inputs.segments, {
    within: query.range,
    asOf: query.asOf,
    verdicts: inputs.verdicts,
    cutsOf: () => buckets,
    overlapping: inputs.overlapping,
    faultTimeAt: () => 'exclude',
  });
  const groups = new Map<string, { group: Record<string, string>; members: MeteredInterval[] }>();
  for (const one of metered) {
    const group = groupOf(one, query.groupBy, buckets);
    const key = JSON.stringify(group);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { group, members: [one] });
    else known.members.push(one);
  }
  const rows = [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { group, members }]) => usageRow(group, members));
  return { rows, total: usageRow({}, metered) };
}

function usageRow(group: Record<string, string>, members: readonly MeteredInterval[]): UsageRow {
  const totals = totalsOf(members);
  return {
    group,
    ...gpuTimeToJson(sumTimes(members.map((one) => one.gpuTime))),
    billed_gpu_ms: gpuTimeToJson(totals.billed).gpu_ms,
    excluded_gpu_ms: gpuTimeToJson(totals.excluded).gpu_ms,
    held_gpu_ms: gpuTimeToJson(totals.held).gpu_ms,
  };
}

function groupOf(
  { lease, span }: MeteredInterval,
  groupBy: readonly UsageGroup[],
  buckets: readonly EpochMs[],
): Record<string, string> {
  const values: Record<UsageGroup, string> = {
    customer_id: lease.customerId,
    provider_id: lease.providerId,
    project: lease.project,
    pool: lease.pool,
    node: lease.node,
    gpu_uuid: lease.gpuUuid,
    gpu_model: lease.gpuModel,
    pricing_mode: lease.pricingMode,
    lease_id: lease.leaseId,
  };
  const bucket = buckets.findLast((start) => start <= span.start);
  return {
    ...(bucket === undefined ? {} : { bucket_start: formatInstant(bucket) }),
    ...Object.fromEntries(groupBy.map((name) => [name, values[name]])),
  };
}
