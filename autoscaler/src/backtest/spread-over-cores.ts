/** Runs many policies on all cores: each worker thread takes every n-th of them. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { JobTrace } from './job-trace.js';
import { runBacktest, type BacktestPolicy, type BacktestPool, type BacktestResult } from './run-backtest.js';

export interface BacktestTask {
  readonly trace: JobTrace;
  readonly policies: readonly BacktestPolicy[];
  readonly pool: BacktestPool;
}

/** In the order of the policies. One policy, or one core, needs no thread. */
export async function runOnAllCores(
  { trace, policies, pool }: BacktestTask,
  cores = availableParallelism(),
): Promise<BacktestResult[]> {
  const threads = Math.min(cores, policies.length);
  if (threads <= 1 || import.meta.url.endsWith('.ts')) return runBacktest(trace, policies, pool);
  const shares = await Promise.all(
    Array.from({ length: threads }, (_, thread) => {
      const mine = policies.filter((__, index) => index % threads === thread);
      return inThread({ trace, policies: mine, pool });
    }),
  );
  return policies.flatMap((_, index) => shares[index % threads]?.[Math.floor(index / threads)] ?? []);
}

function inThread(task: BacktestTask): Promise<BacktestResult[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./backtest-thread-main.js', import.meta.url), { workerData: task });
    worker.once('message', (results: BacktestResult[]) => {
      resolve(results);
    });
    worker.once('error', reject);
  });
}
