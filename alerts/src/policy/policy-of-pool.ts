/** The policy as it holds in one pool: overrides laid over the faults, in the same order, under the same version. */
import type { Condition } from './conditions.js';
import { signals } from './signals.js';
import type { Fault, FaultPolicy, PoolOverride } from './fault-policy.js';

type Override = PoolOverride['faults'][number];

/** Derived policies, by policy and by the override that made them: the engine asks for every symptom. */
const derived = new WeakMap<FaultPolicy, Map<PoolOverride, FaultPolicy>>();

export function policyOfPool(policy: FaultPolicy, pool: string): FaultPolicy {
  const override = policy.pools.find((one) => one.match.some((pattern) => isMatch(pattern, pool)));
  if (override === undefined) return policy;
  const known = derived.get(policy) ?? new Map<PoolOverride, FaultPolicy>();
  derived.set(policy, known);
  const made = known.get(override) ?? { ...policy, faults: overridden(policy.faults, override.faults) };
  known.set(override, made);
  return made;
}

function overridden(faults: readonly Fault[], overrides: readonly Override[]): Fault[] {
  return faults.flatMap((fault) => {
    const override = overrides.find((one) => one.code === fault.code);
    if (override === undefined) return [fault];
    return override.off ? [] : [withOverride(fault, override)];
  });
}

function withOverride(fault: Fault, override: Override): Fault {
  const { code: _code, off: _off, limit, for: lasting, after, ...rest } = override;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return { ...fault, ...given, when: conditionWith(fault.when, { limit, lasting, after }) };
}

function conditionWith(
  when: Condition,
  change: { limit: number | undefined; lasting: number | undefined; after: number | undefined },
): Condition {
  if ('telemetry' in when) return { ...when, after: change.after ?? when.after };
  if (!('signal' in when)) return when;
  const limit = change.limit === undefined ? {} : { [signals[when.signal].bad]: change.limit };
  return { ...when, ...limit, for: change.lasting ?? when.for };
}

/** Pools in which the limits of signals are the same; patterns are regular expressions of the whole name. */
export interface LimitGroup {
  readonly policy: FaultPolicy;
  /** Empty: every pool that `except` does not name. */
  readonly pools: readonly string[];
  readonly except: readonly string[];
}

/** Stretches are found with the limits that hold in their pool: one group of all pools unless an override changes one. */
export function limitGroups(policy: FaultPolicy): LimitGroup[] {
  const changed = policy.pools.some((one) => one.faults.some((fault) => fault.limit !== undefined));
  if (!changed) return [{ policy, pools: [], except: [] }];
  const earlier: string[] = [];
  const groups = policy.pools.map((override): LimitGroup => {
    const pools = override.match.map(regularExpression);
    const except = [...earlier];
    earlier.push(...pools);
    return { policy: { ...policy, faults: overridden(policy.faults, override.faults) }, pools, except };
  });
  return [...groups, { policy, pools: [], except: earlier }];
}

function isMatch(pattern: string, pool: string): boolean {
  return new RegExp(regularExpression(pattern), 's').test(pool);
}

function regularExpression(pattern: string): string {
  return `^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*')}$`;
}
