/** One fault on several GPUs of a node at once is one incident: a switch, a riser, a power supply or a job did it. */
import type { Symptom } from './incident.js';

/** The cluster of each symptom that belongs to one; `symptoms` in time order. */
export function clustersOf(symptoms: readonly Symptom[]): ReadonlyMap<Symptom, string> {
  const byFault = new Map<string, Symptom[]>();
  for (const one of symptoms) {
    if (one.fault.spread === undefined || one.fault.scope === 'node') continue;
    const known = byFault.get(one.fault.code);
    if (known === undefined) byFault.set(one.fault.code, [one]);
    else known.push(one);
  }
  const clusters = new Map<Symptom, string>();
  for (const [code, ofFault] of byFault) {
    for (const run of runsOf(ofFault)) {
      const gpus = new Set(run.map((one) => one.gpuUuid || one.pciBusId));
      const [first] = run;
      if (first === undefined || gpus.size < (first.fault.spread?.at_least ?? Infinity)) continue;
      for (const one of run) clusters.set(one, `${code}/${first.id}`);
    }
  }
  return clusters;
}

/** Symptoms that follow one another closely enough. */
function runsOf(symptoms: readonly Symptom[]): Symptom[][] {
  const runs: Symptom[][] = [];
  for (const one of symptoms) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run === undefined || last === undefined || one.ts - last.ts > (one.fault.spread?.within ?? 0)) {
      runs.push([one]);
    } else {
      run.push(one);
    }
  }
  return runs;
}
