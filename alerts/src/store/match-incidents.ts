/** Which stored incident is which computed one. Evidence decides: an incident keeps its id while its story grows. */
import type { FaultIncident } from '../verdict/incident.js';
import { incidentIdOf } from './incident-rows.js';

export interface StoredIncident {
  readonly incident_id: string;
  readonly code: string;
  readonly node: string;
  readonly subject_gpu_uuid: string;
  readonly subject_gpu_instance: string;
  readonly opened_at: Date;
  readonly cleared_at: Date | null;
  readonly withdrawn: boolean;
  readonly evidence_ids: readonly string[];
}

export interface IncidentMatch<Stored extends StoredIncident> {
  readonly incidentId: string;
  readonly incident: FaultIncident;
  readonly stored: Stored | undefined;
}

export interface IncidentMatches<Stored extends StoredIncident> {
  readonly matches: readonly IncidentMatch<Stored>[];
  /** Stored ones that the evidence no longer supports. */
  readonly withdrawn: readonly Stored[];
}

export function matchIncidents<Stored extends StoredIncident>(
  stored: readonly Stored[],
  computed: readonly FaultIncident[],
): IncidentMatches<Stored> {
  const taken = new Map<FaultIncident, Stored>();
  const free = new Set(stored.filter((one) => !one.withdrawn));
  for (const pair of likelyPairs([...free], computed)) {
    if (taken.has(pair.incident) || !free.has(pair.stored)) continue;
    taken.set(pair.incident, pair.stored);
    free.delete(pair.stored);
  }
  const usedIds = new Set([...taken.values(), ...free].map((one) => one.incident_id));
  const matches = computed.map((incident): IncidentMatch<Stored> => {
    const known = taken.get(incident);
    if (known !== undefined) return { incidentId: known.incident_id, incident, stored: known };
    const incidentId = freeId(incident, usedIds);
    usedIds.add(incidentId);
    // One that was withdrawn and is supported again is the same incident.
    return { incidentId, incident, stored: stored.find((one) => one.incident_id === incidentId) };
  });
  return { matches, withdrawn: [...free] };
}

interface Pair<Stored> {
  readonly stored: Stored;
  readonly incident: FaultIncident;
  readonly sharedEvidence: number;
  readonly distanceMs: number;
}

/** Most shared evidence first; without any, the same fault of the same subject at an overlapping time. */
function likelyPairs<Stored extends StoredIncident>(
  stored: readonly Stored[],
  computed: readonly FaultIncident[],
): Pair<Stored>[] {
  const pairs: Pair<Stored>[] = [];
  for (const incident of computed) {
    const ids = new Set(incident.evidence.map((one) => one.id));
    for (const one of stored) {
      const sharedEvidence = one.evidence_ids.filter((id) => ids.has(id)).length;
      if (sharedEvidence === 0 && !isSameStory(one, incident)) continue;
      const distanceMs = Math.abs(one.opened_at.getTime() - incident.openedAt);
      pairs.push({ stored: one, incident, sharedEvidence, distanceMs });
    }
  }
  return pairs.sort(
    (a, b) =>
      b.sharedEvidence - a.sharedEvidence ||
      Number(b.stored.code === b.incident.code) - Number(a.stored.code === a.incident.code) ||
      a.distanceMs - b.distanceMs ||
      (a.stored.incident_id < b.stored.incident_id ? -1 : 1),
  );
}

function isSameStory(stored: StoredIncident, incident: FaultIncident): boolean {
  if (stored.code !== incident.code || stored.node !== incident.node) return false;
  if (stored.subject_gpu_uuid !== incident.gpuUuid || stored.subject_gpu_instance !== incident.gpuInstance) {
    return false;
  }
  const storedEnd = stored.cleared_at?.getTime() ?? Infinity;
  return stored.opened_at.getTime() < (incident.clearedAt ?? Infinity) && incident.openedAt < storedEnd;
}

function freeId(incident: FaultIncident, used: ReadonlySet<string>): string {
  for (let attempt = 0; ; attempt += 1) {
    const id = incidentIdOf(incident, attempt);
    if (!used.has(id)) return id;
  }
}
