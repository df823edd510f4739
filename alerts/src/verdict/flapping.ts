/** Faults that come and go: seen often enough, they are one incident until they have been quiet for long. */
import type { EpochMs } from '@poolmeter/domain';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import type { Symptom } from './incident.js';

/**
 * The symptoms at which a fault of one subject has come often enough. It is counted in the evidence alone, so that it
 * does not depend on which incidents were made of it.
 */
export function flappingSymptoms(
  symptoms: readonly Symptom[],
  of: { readonly policy: FaultPolicy; readonly subjectOf: (symptom: Symptom) => string },
): ReadonlySet<Symptom> {
  const rule = of.policy.folding.flapping;
  const found = new Set<Symptom>();
  if (rule === undefined) return found;
  const courses = new Map<string, { starts: EpochMs[]; end: EpochMs | undefined }>();
  for (const symptom of symptoms) {
    const key = `${of.subjectOf(symptom)}|${symptom.fault.code}|${symptom.code}`;
    const course = courses.get(key);
    const end = symptom.until;
    if (course === undefined) {
      courses.set(key, { starts: [symptom.ts], end });
      continue;
    }
    const isNew = course.end !== undefined && symptom.ts - course.end >= clearingMs(symptom.fault, 0);
    if (isNew)
      course.starts = [...course.starts, symptom.ts].filter((start) => symptom.ts - start < rule.within);
    course.end = end === undefined || course.end === undefined || end > course.end ? end : course.end;
    if (course.starts.length >= rule.times) found.add(symptom);
  }
  return found;
}

/** The least time from the last evidence to the end of an incident. `quietMs` is what flapping adds. */
export function clearingMs(fault: Fault, quietMs: number): number {
  switch (fault.clear.by) {
    case 'signal':
    case 'operator':
      return quietMs;
    case 'expiry':
      return Math.max(quietMs, fault.clear.after);
    case 'healthy':
    case 'reset':
    case 'return':
      return Math.max(quietMs, fault.clear.healthy_for);
  }
}
