/** Looks at a pool: scheduler, health, leases, samples, own memory. A source that fails is noted, never guessed. */
import { messageOf, type Clock } from '@poolmeter/domain';
import type { Scheduler, SchedulerNode, SchedulerObservation } from '@poolmeter/scheduler';
import type { AutoscalerStore } from './decision-store.js';
import { demandNow } from './forecast.js';
import type {
  GpuHealth,
  ObservedGpu,
  ObservedNode,
  OpenDecision,
  PoolObservation,
  SourceState,
} from './observation.js';
import type { Pool } from './pools-file.js';
import { readMemory, type PoolMemory } from './pool-memory.js';
import type { GpuActivity, SampleReader } from './sample-reader.js';

export interface ObserveDeps {
  readonly store: AutoscalerStore;
  readonly samples: SampleReader;
  readonly clock: Clock;
}

/** How far back samples are read: long enough that a pause between two batches of work does not look idle. */
const ACTIVITY_WINDOW_MS = 300_000;
const LEASE_HISTORY_MARGIN_MS = 3_600_000;

export async function observePool(
  deps: ObserveDeps,
  target: { pool: Pool; scheduler: Scheduler; decidingSinceMs: number; signal?: AbortSignal },
): Promise<PoolObservation> {
  const { pool, scheduler } = target;
  const nowMs = deps.clock.now();
  const leaseSinceMs = nowMs - pool.policy.scale_in.idle_for_s * 1_000 - LEASE_HISTORY_MARGIN_MS;
  const window = { sinceMs: nowMs - ACTIVITY_WINDOW_MS, untilMs: nowMs };
  const [memory, seen, health, leases, samples] = await Promise.all([
    readMemory(deps.store, { pool, nowMs }),
    attempt(() => scheduler.observe(target.signal)),
    attempt(() => readHealth(deps.store, pool.id)),
    attempt(() => readLeases(deps.store, { pool: pool.id, nowMs, sinceMs: leaseSinceMs })),
    attempt(() => deps.samples(pool.id, window)),
  ]);
  const activity = new Map((samples.value ?? []).map((each) => [each.gpuUuid, each]));
  const known = { health: health.value, leases: leases.value, activity, leaseSinceMs };
  const nodes = (seen.value?.nodes ?? [])
    .map((node) => joinNode(node, known))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
  const observation: PoolObservation = {
    pool: pool.id,
    observedAtMs: nowMs,
    mode: memory.mode,
    paused: memory.paused,
    scaleInPaused: memory.scaleInPaused,
    capabilities: [...scheduler.capabilities].sort(),
    sources: {
      scheduler: stateOf(seen, seen.value?.observedAt ?? nowMs),
      health: stateOf(health, nowMs),
      leases: stateOf(leases, nowMs),
      samples: stateOf(samples, newestSample(samples.value, nowMs)),
    },
    nodes,
    pending: pendingOf(seen.value),
    demandHistory: memory.demandHistory,
    memory: {
      decidingSinceMs: target.decidingSinceMs,
      lastScaleOutMs: memory.lastScaleOutMs,
      lastScaleInMs: memory.lastScaleInMs,
      lastReplaceMs: memory.lastReplaceMs,
      open: openDecisions(memory, nodes),
      recent: memory.recent,
      failedAdditions: memory.failedAdditions,
    },
  };
  return observation;
}

/** The demand of this look, kept for later forecasts; not known when the scheduler did not answer. */
export function demandPointOf(observation: PoolObservation): number | undefined {
  return observation.sources.scheduler.ok ? demandNow(observation) : undefined;
}

interface Attempt<T> {
  readonly value: T | undefined;
  readonly fault: string;
}

async function attempt<T>(read: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await read(), fault: '' };
  } catch (thrown) {
    return { value: undefined, fault: messageOf(thrown) };
  }
}

function stateOf(source: Attempt<unknown>, atMs: number): SourceState {
  return { ok: source.value !== undefined, atMs, detail: source.fault };
}

/** A pool without GPUs has no samples to be stale; one with GPUs and none in the window is found by its coverage. */
function newestSample(samples: readonly GpuActivity[] | undefined, nowMs: number): number {
  if (samples === undefined || samples.length === 0) return nowMs;
  return samples.reduce((newest, each) => Math.max(newest, each.latestMs), 0);
}

function pendingOf(seen: SchedulerObservation | undefined): PoolObservation['pending'] {
  return (seen?.pending ?? []).map((one) => ({
    id: one.id,
    gpus: one.gpus,
    gpuModel: one.gpuModel ?? null,
    gang: one.gang,
    priority: one.priority,
    sinceMs: one.since,
  }));
}

interface Health {
  readonly state: GpuHealth;
  readonly sinceMs: number;
}

async function readHealth(store: AutoscalerStore, pool: string): Promise<Map<string, Health>> {
  const rows = await store.db
    .selectFrom('alerts.gpu_health_v1')
    .select(['gpu_uuid', 'state', 'since'])
    .where('pool', '=', pool)
    .execute();
  return new Map(
    rows.map((row) => [row.gpu_uuid, { state: healthFrom(row.state), sinceMs: row.since.getTime() }]),
  );
}

function healthFrom(state: string): GpuHealth {
  switch (state) {
    case 'healthy':
    case 'faulty':
    case 'verifying':
    case 'lost':
      return state;
    default:
      return 'unknown';
  }
}

interface Leases {
  readonly running: ReadonlyMap<string, readonly string[]>;
  readonly lastEndMs: ReadonlyMap<string, number>;
}

async function readLeases(
  store: AutoscalerStore,
  { pool, nowMs, sinceMs }: { pool: string; nowMs: number; sinceMs: number },
): Promise<Leases> {
  const now = new Date(nowMs);
  const rows = await store.db
    .selectFrom('billing.leases_v1')
    .select(['lease_id', 'node', 'gpu_uuid', 'ended_at'])
    .where('pool', '=', pool)
    .where('started_at', '<=', now)
    .where((where) => where.or([where('ended_at', 'is', null), where('ended_at', '>', new Date(sinceMs))]))
    .execute();
  const running = new Map<string, string[]>();
  const lastEndMs = new Map<string, number>();
  for (const row of rows) {
    if (row.ended_at === null || row.ended_at > now) {
      running.set(row.gpu_uuid, [...(running.get(row.gpu_uuid) ?? []), row.lease_id]);
    } else {
      lastEndMs.set(row.node, Math.max(lastEndMs.get(row.node) ?? 0, row.ended_at.getTime()));
    }
  }
  return { running, lastEndMs };
}

interface Known {
  readonly health: ReadonlyMap<string, Health> | undefined;
  readonly leases: Leases | undefined;
  readonly activity: ReadonlyMap<string, GpuActivity>;
  readonly leaseSinceMs: number;
}

function joinNode(node: SchedulerNode, known: Known): ObservedNode {
  const gpus = node.gpus.map((gpu): ObservedGpu => {
    const health = known.health?.get(gpu.gpuUuid);
    const seen = known.activity.get(gpu.gpuUuid);
    const leaseIds = new Set([...gpu.leaseIds, ...(known.leases?.running.get(gpu.gpuUuid) ?? [])]);
    return {
      gpuUuid: gpu.gpuUuid,
      gpuModel: gpu.gpuModel,
      leaseIds: [...leaseIds].sort(),
      health: health?.state ?? 'unknown',
      healthSinceMs: health?.sinceMs ?? null,
      sampleMs: seen?.latestMs ?? null,
      busiestRatio: seen?.busiestRatio ?? null,
    };
  });
  const leased = gpus.some((gpu) => gpu.leaseIds.length > 0);
  const idleSinceMs = Math.max(node.since, known.leases?.lastEndMs.get(node.node) ?? known.leaseSinceMs);
  return {
    node: node.node,
    state: node.state,
    sinceMs: node.since,
    idleSinceMs: leased ? null : idleSinceMs,
    gpus,
  };
}

/** A node that was asked for is on its way until the scheduler shows it switched on. */
function openDecisions(memory: PoolMemory, nodes: readonly ObservedNode[]): OpenDecision[] {
  const known = new Map(nodes.map((node) => [node.node, node]));
  return memory.open.map(({ requested, ...open }) => {
    const coming = new Map<string, number>();
    for (const { gpuModel, nodes: asked } of requested) {
      for (const name of asked) {
        const node = known.get(name);
        const model = gpuModel ?? node?.gpus[0]?.gpuModel;
        if (model === undefined || (node !== undefined && node.state !== 'powered_down')) continue;
        coming.set(model, (coming.get(model) ?? 0) + 1);
      }
    }
    return { ...open, coming: [...coming].map(([gpuModel, count]) => ({ gpuModel, nodes: count })) };
  });
}
