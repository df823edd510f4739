/** `poolmeter backtest`: what policies would have cost, and how long work would have waited, over a trace of jobs. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { BacktestPolicy, BacktestPool, JobTrace } from '@poolmeter/autoscaler';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { z } from 'zod';
import type { CommandContext } from '../command-context.js';
import { columnsOf, createPrinter } from '../printer.js';
import { readInput } from './read-input.js';

interface BacktestFlags {
  readonly jobs: string;
  readonly policy: readonly string[];
  readonly pool?: string;
  readonly out?: string;
  readonly fromS?: string;
  readonly toS?: string;
  readonly sweep?: boolean;
  readonly json?: boolean;
}

const poolSchema = z.strictObject({
  gpus_per_node: z.int().min(1).max(128).default(8),
  boot_s: z.int().min(0).default(120),
  tick_s: z.int().min(1).default(60),
  objective_s: z.int().min(0).default(120),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .default('USD'),
  cost_per_gpu_hour: z.string().default('2.00'),
});

export function addBacktest(program: Command, { terminal }: CommandContext): void {
  program
    .command('backtest')
    .description('play a trace of jobs through scaling policies and compare cost and wait')
    .requiredOption('--jobs <file>', 'jobs CSV, gzipped or not')
    .option('--policy <file-or-name>', 'a policy file or a built-in name; repeatable', gather, [])
    .option('--pool <file>', 'YAML: gpus_per_node, boot_s, tick_s, objective_s, currency, cost_per_gpu_hour')
    .option('--out <folder>', 'write backtest.json and report.html there')
    .option('--from-s <seconds>', 'jobs that arrive at or after')
    .option('--to-s <seconds>', 'jobs that arrive before')
    .option('--sweep', 'add every classic policy at many parameters')
    .option('--json', 'print machine-readable output')
    .action(async (flags: BacktestFlags) => {
      const { backtestHtml, classicSweep, runOnAllCores, waitText } = await import('@poolmeter/autoscaler');
      const trace = await readTrace(flags);
      const pool = await readPool(flags.pool);
      const policies = [
        ...(await readPolicies(flags.policy)),
        ...(flags.sweep === true ? classicSweep() : []),
      ];
      const results = await runOnAllCores({ trace, policies, pool });
      const report = { trace: factsOf(trace, flags), policies: results };
      if (flags.out !== undefined) {
        await mkdir(flags.out, { recursive: true });
        await writeFile(
          join(flags.out, 'backtest.json'),
          `${JSON.stringify(withoutSeries(report), null, 2)}\n`,
        );
        await writeFile(join(flags.out, 'report.html'), backtestHtml(report));
      }
      const print = createPrinter(terminal, flags.json === true);
      if (print.json) {
        print.value(withoutSeries(report));
        return;
      }
      print.table(
        results.map((one) => ({
          policy: one.name,
          cost: one.cost,
          provisioned_gpu_h: one.gpu_hours.provisioned,
          idle_gpu_h: one.gpu_hours.idle,
          wait_p50_s: waitText(one.wait_s.p50),
          wait_p95_s: waitText(one.wait_s.p95),
          wait_p99_s: waitText(one.wait_s.p99),
          over_objective: one.over_objective_share.toFixed(4),
          nodes_added: one.nodes_added,
          regret: one.regret.toFixed(3),
        })),
        columnsOf('policy', 'cost', 'provisioned_gpu_h', 'idle_gpu_h', 'wait_p50_s', 'wait_p95_s').concat(
          columnsOf('wait_p99_s', 'over_objective', 'nodes_added', 'regret'),
        ),
      );
    });
}

function gather(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function readTrace(flags: BacktestFlags): Promise<JobTrace> {
  const { cutTrace, readJobTrace } = await import('@poolmeter/autoscaler');
  let bytes: Buffer;
  try {
    bytes = await readFile(flags.jobs);
  } catch (cause) {
    throw new PoolmeterError('input.invalid', `${flags.jobs} cannot be read: ${messageOf(cause)}.`, {
      cause,
    });
  }
  const trace = readJobTrace(bytes, basename(flags.jobs));
  if (flags.fromS === undefined && flags.toS === undefined) return trace;
  return cutTrace(trace, {
    fromS: secondsFrom('--from-s', flags.fromS) ?? 0,
    toS: secondsFrom('--to-s', flags.toS) ?? Infinity,
  });
}

function secondsFrom(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && value >= 0) return value;
  throw new PoolmeterError(
    'input.invalid',
    `${flag} takes seconds from the start of the trace, such as 86400.`,
  );
}

async function readPool(path: string | undefined): Promise<BacktestPool> {
  const given: unknown = path === undefined ? {} : parse(await readInput(path));
  const read = poolSchema.safeParse(given ?? {});
  if (!read.success) {
    throw new PoolmeterError('input.invalid', `${path ?? 'The pool'}: ${z.prettifyError(read.error)}`);
  }
  const pool = read.data;
  return {
    gpusPerNode: pool.gpus_per_node,
    bootS: pool.boot_s,
    tickS: pool.tick_s,
    objectiveS: pool.objective_s,
    currency: pool.currency,
    costPerGpuHour: pool.cost_per_gpu_hour,
  };
}

async function readPolicies(named: readonly string[]): Promise<BacktestPolicy[]> {
  const { builtInPolicies, builtInPolicy, parseBacktestPolicy } = await import('@poolmeter/autoscaler');
  if (named.length === 0) return [...builtInPolicies];
  return Promise.all(
    named.map(
      async (name) =>
        builtInPolicy(name) ?? parseBacktestPolicy({ text: await readInput(name), name: basename(name) }),
    ),
  );
}

function factsOf(trace: JobTrace, flags: BacktestFlags) {
  const lastS = trace.arrivalS[trace.arrivalS.length - 1] ?? 0;
  return {
    name: trace.name,
    jobs: trace.arrivalS.length,
    days: Number((lastS / 86_400).toFixed(2)),
    from_s: Number(flags.fromS ?? 0),
    to_s: flags.toS === undefined ? 'end' : Number(flags.toS),
  };
}

function withoutSeries(report: { trace: object; policies: readonly { series: unknown }[] }) {
  const policies = report.policies.map(({ series: _series, ...one }) => one);
  return { ...report, policies };
}
