/** Makes jobs of traces that have another form: demand by minute, and requests to a model. */
import { traceOf, type JobTrace } from './job-trace.js';

type Row = [arrivalS: number, serviceS: number, gpus: number];

/**
 * Demand of tenants, minute by minute (time, tenant, total, running, pending): each rise is that many jobs of one GPU,
 * each fall ends the newest of them. Lengths are therefore those of the demand, not of the tenants' jobs.
 */
export function jobsOfDemand(text: string, name: string): JobTrace {
  const lines = text
    .split('\n')
    .slice(1)
    .filter((line) => line.trim() !== '');
  const open = new Map<string, { readonly fromS: number; gpus: number }[]>();
  const rows: Row[] = [];
  let startS = Infinity;
  let lastS = 0;
  for (const line of lines) {
    const [time = '', tenant = '', , running = '0', pending = '0'] = line.split(',');
    const atS = Date.parse(`${time.replace(' ', 'T')}Z`) / 1_000;
    startS = Math.min(startS, atS);
    lastS = Math.max(lastS, atS);
    const stack = open.get(tenant) ?? [];
    open.set(tenant, stack);
    const held = stack.reduce((all, one) => all + one.gpus, 0);
    const change = Number(running) + Number(pending) - held;
    if (change > 0) stack.push({ fromS: atS, gpus: change });
    else endNewest(stack, -change, (fromS, gpus) => rows.push([fromS, atS - fromS, gpus]));
  }
  for (const stack of open.values())
    for (const one of stack) rows.push([one.fromS, lastS - one.fromS, one.gpus]);
  return traceOf(
    name,
    rows.flatMap(([fromS, serviceS, gpus]) =>
      Array.from({ length: gpus }, (): Row => [fromS - startS, serviceS, 1]),
    ),
  );
}

function endNewest(
  stack: { readonly fromS: number; gpus: number }[],
  gpus: number,
  ended: (fromS: number, gpus: number) => void,
): void {
  let left = gpus;
  for (let top = stack[stack.length - 1]; left > 0 && top !== undefined; top = stack[stack.length - 1]) {
    const taken = Math.min(left, top.gpus);
    ended(top.fromS, taken);
    top.gpus -= taken;
    left -= taken;
    if (top.gpus === 0) stack.pop();
  }
}

/** A stated model, not a measurement: reading 5,000 tokens a second, writing 40, one request at a time on a GPU. */
const READ_TOKENS_PER_S = 5_000;
const WRITTEN_TOKENS_PER_S = 40;

/** Requests (time, tokens in, tokens out) as jobs of one GPU each. */
export function jobsOfRequests(text: string, name: string): JobTrace {
  const rows: Row[] = [];
  let startS: number | undefined;
  for (const line of text.split('\n').slice(1)) {
    const [time = '', read = '', written = ''] = line.trim().split(',');
    if (time === '') continue;
    const atS = Date.parse(`${time.slice(0, 23).replace(' ', 'T')}Z`) / 1_000;
    startS ??= atS;
    const serviceS = Number(read) / READ_TOKENS_PER_S + Number(written) / WRITTEN_TOKENS_PER_S;
    rows.push([atS - startS, serviceS, 1]);
  }
  return traceOf(name, rows);
}
