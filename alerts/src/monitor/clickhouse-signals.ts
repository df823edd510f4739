/** Stretches in which samples looked wrong, as ClickHouse finds them with the limits of the policy. */
import { instantFromMs, interval } from '@poolmeter/domain';
import { hourSignals, minuteSignals, type MetricsStore, type QueryRow } from '@poolmeter/metrics-store';
import { limitOf } from '../policy/conditions.js';
import type { FaultPolicy } from '../policy/fault-policy.js';
import { limitGroups, type LimitGroup } from '../policy/policy-of-pool.js';
import { signals, type SignalName } from '../policy/signals.js';
import type { SignalStretch } from '../verdict/evidence.js';
import { signalFault } from '../verdict/signals.js';
import type { Span } from './evidence-source.js';
import { longestHoursMs } from './policy-reach.js';

/** No value reaches this, so that a policy without a rule finds nothing. */
const NEVER = 1e300;

export async function readSignals(
  store: MetricsStore,
  of: { readonly span: Span; readonly policy: FaultPolicy },
): Promise<SignalStretch[]> {
  const found: SignalStretch[] = [];
  for (const group of limitGroups(of.policy)) {
    const rows = await store.query(minuteSignals, minuteQuestion(of.span, group));
    found.push(...rows.map(stretchOf));
  }
  return [...found, ...(await readHours(store, of))];
}

/** Hours are few and cheap for one node; for all nodes at once they are asked with the others of the node. */
async function readHours(
  store: MetricsStore,
  of: { readonly span: Span; readonly policy: FaultPolicy },
): Promise<SignalStretch[]> {
  if (signalFault(of.policy, 'memory_growth_bytes_per_hour') === undefined) return [];
  const from = instantFromMs(Math.max(0, of.span.from - longestHoursMs(of.policy)));
  const found: SignalStretch[] = [];
  for (const group of limitGroups(of.policy)) {
    const rows = await store.query(hourSignals, {
      ...spanQuestion({ ...of.span, from }, group),
      memory_growth_bytes_per_hour: limitIn(group.policy, 'memory_growth_bytes_per_hour'),
    });
    found.push(...rows.map(stretchOf));
  }
  return found;
}

function minuteQuestion(span: Span, group: LimitGroup) {
  const { policy } = group;
  const idle = signalFault(policy, 'activity_ratio')?.when;
  return {
    ...spanQuestion(span, group),
    temperature_celsius: limitIn(policy, 'temperature_celsius'),
    temperature_margin_celsius: limitIn(policy, 'temperature_margin_celsius'),
    hw_throttled_ratio: limitIn(policy, 'hw_throttled_ratio'),
    sw_thermal_throttled_ratio: limitIn(policy, 'sw_thermal_throttled_ratio'),
    activity_ratio: limitIn(policy, 'activity_ratio'),
    activity_memory_bytes: idle?.memory_at_least_bytes ?? 0,
    stalled_power_ratio: limitIn(policy, 'stalled_power_ratio'),
    ecc_uncorrectable_new: limitIn(policy, 'ecc_uncorrectable_new'),
    pcie_replays_per_minute: limitIn(policy, 'pcie_replays_per_minute'),
    row_remap_pending: limitIn(policy, 'row_remap_pending'),
    row_remap_failed: limitIn(policy, 'row_remap_failed'),
    row_remap_uncorrectable_total: limitIn(policy, 'row_remap_uncorrectable_total'),
    recovery_action: limitIn(policy, 'recovery_action'),
  };
}

function spanQuestion(span: Span, group: LimitGroup) {
  return {
    node: span.node,
    from_ms: span.from,
    to_ms: span.to,
    pools: [...group.pools],
    except_pools: [...group.except],
  };
}

function limitIn(policy: FaultPolicy, signal: SignalName): number {
  const rule = signalFault(policy, signal);
  if (rule !== undefined) return limitOf(rule.when);
  return signals[signal].bad === 'below' ? -NEVER : NEVER;
}

function stretchOf(row: QueryRow<typeof minuteSignals>): SignalStretch {
  return {
    signal: row.signal as SignalName,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    gpuInstance: row.gpu_instance,
    during: interval(instantFromMs(row.started_ms), instantFromMs(row.ended_ms)),
    extreme: row.extreme,
  };
}
