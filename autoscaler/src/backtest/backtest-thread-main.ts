/** One thread of a sweep. */
import { parentPort, workerData } from 'node:worker_threads';
import { runBacktest } from './run-backtest.js';
import type { BacktestTask } from './spread-over-cores.js';

const { trace, policies, pool } = workerData as BacktestTask;
parentPort?.postMessage(runBacktest(trace, policies, pool));
