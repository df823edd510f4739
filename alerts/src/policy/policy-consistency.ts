/** What a schema cannot say: names that must exist, conditions that must fit together. */
import type { Condition } from './conditions.js';

interface PolicyParts {
  readonly faults: readonly {
    readonly code: string;
    readonly when: Condition;
    readonly clear: { readonly by: string };
    readonly follows?: { readonly codes: 'any' | readonly string[] } | undefined;
  }[];
  readonly pools: readonly {
    readonly faults: readonly {
      readonly code: string;
      readonly limit?: number | undefined;
      readonly for?: number | undefined;
      readonly after?: number | undefined;
    }[];
  }[];
}

interface Inconsistency {
  readonly path: (string | number)[];
  readonly message: string;
}

export function inconsistencies(policy: PolicyParts): Inconsistency[] {
  const known = new Map(policy.faults.map((one) => [one.code, one.when]));
  return [
    ...policy.faults.flatMap((one, index) => faultIssues(one, { index, faults: policy.faults, known })),
    ...signalsTwice(policy.faults),
    ...policy.pools.flatMap((pool, index) => overrideIssues(pool.faults, { index, known })),
  ];
}

type KnownFaults = ReadonlyMap<string, Condition>;

function faultIssues(
  fault: PolicyParts['faults'][number],
  at: { readonly index: number; readonly faults: PolicyParts['faults']; readonly known: KnownFaults },
): Inconsistency[] {
  const path = ['faults', at.index];
  const found: Inconsistency[] = [];
  if (at.faults.findIndex((one) => one.code === fault.code) !== at.index) {
    found.push({ path: [...path, 'code'], message: `${fault.code} is listed twice` });
  }
  const causes = fault.follows === undefined || fault.follows.codes === 'any' ? [] : fault.follows.codes;
  causes.forEach((cause, place) => {
    if (!at.known.has(cause))
      found.push({ path: [...path, 'follows', 'codes', place], message: `${cause} is not a fault here` });
  });
  if (fault.clear.by === 'signal' && !('telemetry' in fault.when) && !('signal' in fault.when)) {
    found.push({ path: [...path, 'clear', 'by'], message: 'signal needs a telemetry condition' });
  }
  if ('repeats' in fault.when) {
    fault.when.repeats.forEach((rule, place) => {
      for (const code of rule.of) {
        const counted = at.known.get(code);
        if (counted !== undefined && 'event' in counted) continue;
        found.push({
          path: [...path, 'when', 'repeats', place, 'of'],
          message: `${code} is not a fault of an event here`,
        });
      }
    });
  }
  return found;
}

/** Stretches carry the name of their signal: which of two faults they would be could not be told. */
function signalsTwice(faults: PolicyParts['faults']): Inconsistency[] {
  const names = faults.map((one) => ('signal' in one.when ? one.when.signal : undefined));
  return names.flatMap((name, index) =>
    name === undefined || names.indexOf(name) === index
      ? []
      : [{ path: ['faults', index, 'when', 'signal'], message: `${name} is used by an earlier fault` }],
  );
}

function overrideIssues(
  overrides: PolicyParts['pools'][number]['faults'],
  at: { readonly index: number; readonly known: KnownFaults },
): Inconsistency[] {
  return overrides.flatMap((one, place): Inconsistency[] => {
    const path = ['pools', at.index, 'faults', place];
    const when = at.known.get(one.code);
    if (when === undefined) return [{ path: [...path, 'code'], message: `${one.code} is not a fault here` }];
    const wrong = (key: 'limit' | 'for' | 'after', fits: boolean): Inconsistency[] =>
      one[key] === undefined || fits ? [] : [{ path: [...path, key], message: `${one.code} has no ${key}` }];
    return [
      ...wrong('limit', 'signal' in when),
      ...wrong('for', 'signal' in when),
      ...wrong('after', 'telemetry' in when),
    ];
  });
}
