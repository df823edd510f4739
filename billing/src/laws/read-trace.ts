/** The jobs of the Helios Venus trace as leases: each GPU of a job is leased for as long as the job ran. */
import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { instantFromMs, type EpochMs } from '@poolmeter/domain';

const FILE = new URL('../../../../shared/data/traces/jobs_helios_venus_125k.csv.gz', import.meta.url);

/** True where the trace lies beside the checkout. */
export const hasTrace = existsSync(FILE);

/** The trace begins here: at a month's first instant in UTC, so it reaches over seven months. */
const TRACE_START_MS = Date.parse('2026-01-01T00:00:00Z');
const CUSTOMERS = 40;
const PROVIDERS = ['north', 'south', 'west'];

export interface TraceJob {
  readonly id: string;
  readonly arrivalS: number;
  readonly serviceS: number;
  readonly gpus: number;
}

export interface TraceLease {
  readonly leaseId: string;
  readonly customerId: string;
  readonly providerId: string;
  readonly gpuUuid: string;
  readonly gpuIndex: number;
  readonly start: EpochMs;
  readonly end: EpochMs;
}

export function readTrace(): TraceJob[] {
  const lines = gunzipSync(readFileSync(FILE)).toString('utf8').trim().split('\n').slice(1);
  return lines.map((line) => {
    const [id = '', arrival = '', service = '', gpus = ''] = line.split(',');
    return { id, arrivalS: Number(arrival), serviceS: Number(service), gpus: Number(gpus) };
  });
}

/** A GPU is given to the next job once the one before has ended; as many GPUs as that takes. */
export function leasesOf(jobs: readonly TraceJob[]): TraceLease[] {
  const free: number[] = [];
  let known = 0;
  const running: { end: number; gpu: number }[] = [];
  const leases: TraceLease[] = [];
  for (const [index, job] of jobs.toSorted((a, b) => a.arrivalS - b.arrivalS).entries()) {
    if (job.serviceS === 0) continue;
    release(running, free, job.arrivalS);
    for (let part = 0; part < job.gpus; part += 1) {
      const gpu = free.pop() ?? (known += 1);
      push(running, { end: job.arrivalS + job.serviceS, gpu });
      leases.push({
        leaseId: `${job.id}/${part}`,
        customerId: `customer-${index % CUSTOMERS}`,
        providerId: PROVIDERS[gpu % PROVIDERS.length] as string,
        gpuUuid: `GPU-${gpu}`,
        gpuIndex: gpu % 8,
        start: instantFromMs(TRACE_START_MS + job.arrivalS * 1_000),
        end: instantFromMs(TRACE_START_MS + (job.arrivalS + job.serviceS) * 1_000),
      });
    }
  }
  return leases;
}

interface Running {
  readonly end: number;
  readonly gpu: number;
}

function release(heap: Running[], free: number[], until: number): void {
  while (heap[0] !== undefined && heap[0].end <= until) free.push(pop(heap).gpu);
}

function push(heap: Running[], item: Running): void {
  heap.push(item);
  let at = heap.length - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if ((heap[parent] as Running).end <= item.end) break;
    heap[at] = heap[parent] as Running;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Running[]): Running {
  const first = heap[0] as Running;
  const last = heap.pop() as Running;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    if (left >= heap.length) break;
    const right = left + 1;
    const child =
      right < heap.length && (heap[right] as Running).end < (heap[left] as Running).end ? right : left;
    if ((heap[child] as Running).end >= last.end) break;
    heap[at] = heap[child] as Running;
    at = child;
  }
  heap[at] = last;
  return first;
}
