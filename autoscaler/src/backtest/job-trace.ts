/** Jobs of a trace, as columns: 125,000 of them are walked in milliseconds. Instants are seconds from the trace's start. */
import { gunzipSync } from 'node:zlib';
import { PoolmeterError } from '@poolmeter/domain';

export interface JobTrace {
  readonly name: string;
  /** Ascending. */
  readonly arrivalS: Float64Array;
  readonly serviceS: Float64Array;
  readonly gpus: Int32Array;
}

const FORMS = [
  { arrival: 'submitted_at_s', service: 'duration_s', gpus: 'gpus' },
  { arrival: 'arrival_s', service: 'service_s', gpus: 'gpu_count' },
] as const;

/** Reads the jobs CSV, in its long or its short form, gzipped or not. A bad row is an error with its line. */
export function readJobTrace(bytes: Buffer, name: string): JobTrace {
  const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  const lines = text.split('\n');
  const header = (lines[0] ?? '').trim().split(',');
  const form = FORMS.find((each) => header.includes(each.arrival));
  if (form === undefined) {
    throw new PoolmeterError(
      'input.invalid',
      `${name} has no column submitted_at_s or arrival_s: the first line names the columns.`,
    );
  }
  const [arrivalAt, serviceAt, gpusAt] = [form.arrival, form.service, form.gpus].map((column) =>
    header.indexOf(column),
  );
  const rows: [number, number, number][] = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const cells = line.trim().split(',');
    const row = [cells[arrivalAt ?? -1], cells[serviceAt ?? -1], cells[gpusAt ?? -1]].map(Number);
    const [arrival = NaN, service = NaN, gpus = NaN] = row;
    if (!(arrival >= 0) || !(service >= 0) || !Number.isInteger(gpus) || gpus < 1) {
      throw new PoolmeterError(
        'input.invalid',
        `${name}, line ${index + 1}: arrival, duration and a whole number of GPUs are needed.`,
      );
    }
    rows.push([arrival, service, gpus]);
  }
  if (rows.length === 0) throw new PoolmeterError('input.invalid', `${name} has no jobs.`);
  return traceOf(name, rows);
}

/** A trace of [arrival, service, gpus]. */
export function traceOf(name: string, rows: readonly (readonly [number, number, number])[]): JobTrace {
  const sorted = [...rows].sort((a, b) => a[0] - b[0]);
  return {
    name,
    arrivalS: Float64Array.from(sorted, (row) => row[0]),
    serviceS: Float64Array.from(sorted, (row) => row[1]),
    gpus: Int32Array.from(sorted, (row) => row[2]),
  };
}

/** The jobs that arrive in [fromS, toS), counted from fromS. */
export function cutTrace(trace: JobTrace, { fromS, toS }: { fromS: number; toS: number }): JobTrace {
  const rows: [number, number, number][] = [];
  trace.arrivalS.forEach((arrival, index) => {
    if (arrival < fromS || arrival >= toS) return;
    rows.push([arrival - fromS, trace.serviceS[index] ?? 0, trace.gpus[index] ?? 1]);
  });
  if (rows.length === 0)
    throw new PoolmeterError('input.invalid', 'No job arrives in that part of the trace.');
  return traceOf(trace.name, rows);
}
