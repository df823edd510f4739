/** When a node deserves another look although nothing new is known to have arrived. */
import type { FaultIncident } from '../verdict/incident.js';

const SOONEST_MS = 5_000;
const LATEST_MS = 3_600_000;
/** A pause grows with the time for which nothing has changed: what has been open for weeks is not asked every second. */
const PART_OF_AGE = 20;
/** Samples that were held up may fill a gap after it was judged. */
const GAPS_MAY_FILL_MS = 15 * 60_000;
const GAP_LOOK_MS = 60_000;

/** In epoch milliseconds; undefined when every incident is settled. */
export function nextLookAt(incidents: readonly FaultIncident[], asOf: number): number | undefined {
  const looks = incidents.flatMap((incident) => {
    if (incident.clearedAt === undefined) {
      const age = asOf - (incident.verifyingSince ?? incident.lastEvidenceAt);
      const pause = Math.min(LATEST_MS, Math.max(SOONEST_MS, age / PART_OF_AGE));
      const soonest = asOf + Math.round(pause);
      const due = incident.lookAgainAt;
      return due === undefined ? soonest : due > asOf ? due : soonest;
    }
    const mayFill = 'telemetry' in incident.fault.when;
    return mayFill && asOf - incident.clearedAt < GAPS_MAY_FILL_MS ? asOf + GAP_LOOK_MS : [];
  });
  return looks.length === 0 ? undefined : Math.min(...looks);
}
