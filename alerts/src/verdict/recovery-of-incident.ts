/** When an incident is over: when every GPU that it is about is. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { Fault } from '../policy/fault-policy.js';
import type { Symptom } from './incident.js';
import { recoveryOf, type Recovery, type RecoveryFacts } from './recovery.js';

export interface IncidentRecovery extends Recovery {
  /** When it ended on each of its GPUs; undefined while it has not. */
  readonly clearedAtOf: ReadonlyMap<string, EpochMs | undefined>;
}

interface IncidentInHand {
  readonly fault: Fault;
  readonly symptoms: readonly Symptom[];
  readonly gpuUuids: readonly string[];
  readonly quietMs: number;
}

export function recoveryOfIncident(incident: IncidentInHand, facts: RecoveryFacts): IncidentRecovery {
  const { gpuUuids } = incident;
  if (incident.fault.scope === 'node' || gpuUuids.length <= 1) {
    const recovery = recoveryOf(incident, facts);
    return { ...recovery, clearedAtOf: new Map(gpuUuids.map((gpu) => [gpu, recovery.clearedAt])) };
  }
  const each = gpuUuids.map((gpu) => {
    const symptoms = incident.symptoms.filter((one) => one.gpuUuid === gpu || one.gpuUuid === '');
    return [gpu, recoveryOf({ ...incident, symptoms, gpuUuids: [gpu] }, facts)] as const;
  });
  return {
    ...worstOf(each.map(([, one]) => one)),
    clearedAtOf: new Map(each.map(([gpu, one]) => [gpu, one.clearedAt])),
  };
}

const worstFirst = ['open', 'verifying', 'resolved', 'expired'] as const;

/** The incident is as far as the GPU that is least far; it ends with the last one. */
function worstOf(each: readonly Recovery[]): Recovery {
  const [worst] = [...each].sort(
    (a, b) =>
      worstFirst.indexOf(a.state) - worstFirst.indexOf(b.state) ||
      Number(b.clearedAt ?? 0) - Number(a.clearedAt ?? 0),
  );
  if (worst === undefined)
    throw new Error('Invariant broken: an incident of several GPUs has a recovery of each.');
  const looks = each.flatMap((one) => one.lookAgainAt ?? []);
  const ends = each.map((one) => one.clearedAt);
  return {
    ...worst,
    clearedAt: ends.includes(undefined) ? undefined : latestOf(ends.flatMap((one) => one ?? [])),
    lookAgainAt: looks.length === 0 ? undefined : instantFromMs(Math.min(...looks)),
  };
}

function latestOf(instants: readonly EpochMs[]): EpochMs {
  return instantFromMs(Math.max(...instants));
}
