/** GPUs as they are now: the newest samples, joined with health and running leases, cut to what the caller may see. */
import { formatInstant, instantFromMs } from '@poolmeter/domain';
import { visibleRows, type Principal } from '@poolmeter/http-api';
import { gpuList, type LatestSample } from '@poolmeter/metrics-store';
import { sampleFlags } from '@poolmeter/telemetry-schema';
import type { GpuHealthView, LeaseView } from './pool-database.js';
import type { PoolRoutesDeps } from './pool-routes-deps.js';
import { readingNames, type GpuJson, type LatestJson, type LeaseJson } from './gpu-shape.js';
import { isStale, stateOf } from './gpu-state.js';
import { rowsBy } from './rows-by.js';

export interface GpuFilter {
  readonly gpuUuid?: string | undefined;
  readonly node?: string | undefined;
  readonly pool?: string | undefined;
}

interface Facts {
  readonly principal: Principal;
  readonly health: ReadonlyMap<string, GpuHealthView>;
  readonly leases: ReadonlyMap<string, readonly LeaseView[]>;
  readonly nowMs: number;
  readonly expectedIntervalMs: number;
}

/** Ordered by node, index and UUID. A GPU of which a monitor or a lease knows nothing is there all the same. */
export async function readGpus(
  deps: PoolRoutesDeps,
  { principal, filter = {} }: { readonly principal: Principal; readonly filter?: GpuFilter },
): Promise<GpuJson[]> {
  const restriction = visibleRows(principal, { customer: 'customer_id', provider: 'provider_id' });
  const [samples, health, leases] = await Promise.all([
    deps.metrics.query(gpuList, {
      gpu_uuid: filter.gpuUuid ?? '',
      node: filter.node ?? '',
      pool: filter.pool ?? '',
      provider_id: restriction?.column === 'provider_id' ? restriction.id : '',
    }),
    readHealth(deps, filter.gpuUuid),
    readRunningLeases(deps, {
      gpuUuid: filter.gpuUuid,
      customerId: restriction?.column === 'customer_id' ? restriction.id : undefined,
    }),
  ]);
  const facts: Facts = {
    principal,
    health: new Map(health.map((row) => [row.gpu_uuid, row])),
    leases: rowsBy(leases, (lease) => lease.gpu_uuid),
    nowMs: deps.clock.now(),
    expectedIntervalMs: deps.expectedIntervalMs,
  };
  const byGpu = rowsBy(samples, (sample) => sample.gpu_uuid);
  const gpus = [...byGpu.values()].map((rows) => gpuOf(rows, facts));
  // A customer sees the GPUs of its running leases and no others.
  const visible =
    restriction?.column === 'customer_id' ? gpus.filter((gpu) => facts.leases.has(gpu.gpu_uuid)) : gpus;
  return visible.sort(byPlace);
}

function byPlace(a: GpuJson, b: GpuJson): number {
  return compareText(a.node, b.node) || a.gpu_index - b.gpu_index || compareText(a.gpu_uuid, b.gpu_uuid);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

async function readHealth({ store }: PoolRoutesDeps, gpuUuid: string | undefined): Promise<GpuHealthView[]> {
  let query = store.db
    .selectFrom('alerts.gpu_health_v1')
    .select(['gpu_uuid', 'state', 'since', 'incident_id']);
  if (gpuUuid !== undefined) query = query.where('gpu_uuid', '=', gpuUuid);
  return query.execute();
}

/** Leases that run at this instant, the oldest first. */
export async function readRunningLeases(
  { store, clock }: PoolRoutesDeps,
  {
    gpuUuid,
    customerId,
  }: { readonly gpuUuid?: string | undefined; readonly customerId?: string | undefined },
): Promise<LeaseView[]> {
  const now = new Date(clock.now());
  let query = store.db
    .selectFrom('billing.leases_v1')
    .select(['lease_id', 'customer_id', 'project', 'provider_id', 'gpu_uuid', 'gpu_instance', 'share'])
    .select(['pricing_mode', 'started_at', 'ended_at'])
    .where('started_at', '<=', now)
    .where((where) => where.or([where('ended_at', 'is', null), where('ended_at', '>', now)]));
  if (gpuUuid !== undefined) query = query.where('gpu_uuid', '=', gpuUuid);
  if (customerId !== undefined) query = query.where('customer_id', '=', customerId);
  return query.orderBy('started_at').orderBy('lease_id').execute();
}

function gpuOf(rows: readonly LatestSample[], facts: Facts): GpuJson {
  const newest = rows.reduce((best, row) => (row.ts > best.ts ? row : best));
  const whole = rows.find((row) => row.gpu_instance === '');
  const leases = facts.leases.get(newest.gpu_uuid) ?? [];
  const health = facts.health.get(newest.gpu_uuid);
  const stale = isStale({ ts: newest.ts, storedAt: newest.stored_at }, facts);
  const shown = leases.map((lease) => leaseJson(lease, facts.principal));
  const mayRead = readableInstances(facts.principal, leases);
  return {
    gpu_uuid: newest.gpu_uuid,
    gpu_index: newest.gpu_index,
    gpu_model: newest.gpu_model,
    node: newest.node,
    pool: newest.pool,
    provider_id: newest.provider_id,
    state: stateOf(health?.state, stale),
    state_since: health === undefined ? null : formatInstant(instantFromMs(health.since.getTime())),
    incident_id: health?.incident_id ?? null,
    stale,
    demo: (newest.flags & sampleFlags.demo) !== 0,
    lease: shown[0] ?? null,
    leases: shown,
    instances: rows
      .filter((row) => row.gpu_instance !== '' && mayRead(row.gpu_instance))
      // A MIG instance that was taken apart keeps its last row for ever; it is no part of the GPU any more.
      .filter((row) => !isStale({ ts: row.ts, storedAt: row.stored_at }, { ...facts, nowMs: newest.ts }))
      .map((row) => ({
        gpu_instance: row.gpu_instance,
        profile: row.gpu_instance_profile,
        latest: latestJson(row),
      })),
    latest: whole === undefined || !mayRead('') ? null : latestJson(whole),
  };
}

/** Whoever leases one MIG instance reads that instance: the rest of the GPU is somebody else's work. */
export function readableInstances(
  principal: Principal,
  leases: readonly Pick<LeaseView, 'gpu_instance'>[],
): (gpuInstance: string) => boolean {
  if (principal.binding.kind !== 'customer') return () => true;
  const own = new Set(leases.map((lease) => lease.gpu_instance));
  return (gpuInstance) => own.has('') || own.has(gpuInstance);
}

function latestJson(row: LatestSample): LatestJson {
  const readings = Object.fromEntries(readingNames.map((name) => [name, row[name]])) as Pick<
    LatestSample,
    (typeof readingNames)[number]
  >;
  return { ts: formatInstant(row.ts), ingested_at: formatInstant(row.ingested_at), ...readings };
}

/** A provider is told that its GPU is leased, not to whom. */
function leaseJson(lease: LeaseView, principal: Principal): LeaseJson {
  const toProvider = principal.binding.kind === 'provider';
  return {
    lease_id: lease.lease_id,
    customer_id: toProvider ? null : lease.customer_id,
    project: toProvider ? null : lease.project,
    gpu_instance: lease.gpu_instance,
    share: lease.share,
    pricing_mode: lease.pricing_mode,
    started_at: formatInstant(instantFromMs(lease.started_at.getTime())),
  };
}
