/** Tunes on the first half of a trace, reports the second, and says which swept classic policy beats the default. */
import { costAgainstWaitSvg, waitText } from './backtest-report.js';
import { builtInPolicies, classicSweep, policySweep } from './built-in-policies.js';
import { cutTrace, type JobTrace } from './job-trace.js';
import { runBacktest, type BacktestPolicy, type BacktestPool, type BacktestResult } from './run-backtest.js';
import { runOnAllCores } from './spread-over-cores.js';

const pool: BacktestPool = {
  gpusPerNode: 8,
  bootS: 120,
  tickS: 60,
  objectiveS: 120,
  currency: 'USD',
  costPerGpuHour: '2.00',
};

export interface JudgedTrace {
  readonly name: string;
  readonly jobs: number;
  readonly days: number;
  readonly swept: number;
  readonly tuned: string;
  readonly results: readonly BacktestResult[];
  /** Swept classic policies that are cheaper than the default and have a shorter 95th percentile of the wait. */
  readonly betterOnBoth: readonly string[];
  /** Cheaper, with a wait at the 95th percentile that is no longer. */
  readonly cheaperAtTheSameWait: readonly BacktestResult[];
  readonly imageFile: string;
  readonly image: string;
}

export async function judgeTrace(trace: JobTrace): Promise<JudgedTrace> {
  const lastS = trace.arrivalS[trace.arrivalS.length - 1] ?? 0;
  const [first, second] = [
    cutTrace(trace, { fromS: 0, toS: lastS / 2 }),
    cutTrace(trace, { fromS: lastS / 2, toS: Infinity }),
  ];
  const tried = policySweep();
  const tuned = bestOf(tried, await runOnAllCores({ trace: first, policies: tried, pool }));
  const results = runBacktest(second, [...builtInPolicies, ...(tuned === undefined ? [] : [tuned])], pool);
  const sweep = classicSweep();
  const swept = await runOnAllCores({ trace: second, policies: sweep, pool });
  const ours = results.find((one) => one.name === 'poolmeter');
  return {
    name: trace.name,
    jobs: trace.arrivalS.length,
    days: lastS / 86_400,
    swept: sweep.length,
    tuned: tuned?.name ?? 'none meets the objective',
    results,
    betterOnBoth: swept.filter((one) => beats(one, ours)).map((one) => one.name),
    cheaperAtTheSameWait: swept.filter((one) => isCheaper(one, ours) && wait(one) <= wait(ours)),
    imageFile: `autoscaler-${trace.name.toLowerCase().replaceAll(' ', '-')}.svg`,
    image: costAgainstWaitSvg([...swept, ...results]),
  };
}

/** The cheapest one that keeps the 95th percentile of the wait within the objective. */
function bestOf(
  tried: readonly BacktestPolicy[],
  results: readonly BacktestResult[],
): BacktestPolicy | undefined {
  const good = results
    .map((result, index) => ({ result, policy: tried[index] }))
    .filter(({ result }) => wait(result) <= pool.objectiveS)
    .sort((a, b) => a.result.regret - b.result.regret);
  return good[0]?.policy;
}

const wait = (one: BacktestResult | undefined): number => one?.wait_s.p95 ?? Infinity;
const isCheaper = (one: BacktestResult, ours: BacktestResult | undefined): boolean =>
  ours !== undefined && one.regret < ours.regret;
const beats = (one: BacktestResult, ours: BacktestResult | undefined): boolean =>
  isCheaper(one, ours) && wait(one) < wait(ours);

export function evaluationText(judged: readonly JudgedTrace[]): string {
  return `# How good the autoscaler is on history

Made by \`node autoscaler/dist/backtest/write-evaluation-main.js FOLDER_OF_TRACES\`; do not edit.

Nodes of ${pool.gpusPerNode} GPUs at ${pool.costPerGpuHour} ${pool.currency} per GPU and hour, ${pool.bootS} s to boot, a decision each ${pool.tickS} s,
the objective is a wait of ${pool.objectiveS} s at the 95th percentile. Policies are tuned on the first half of a trace; all figures
are of the second half, which starts with one node. The scheduler puts work on the fullest node that holds it and lets
smaller work pass what does not fit. Nodes are paid for from the moment they are asked for. No policy may take a node
with work, so no job is interrupted; a real HPA would not be so kind.

The oracle knows all arrivals: nothing waits, a node boots just in time, and is kept between two jobs only when that is
cheaper than booting again. It packs as the scheduler does, so its cost is not the least that is possible.

${judged.map(sectionOf).join('\n')}
## What this does not show

- Faults, prices that differ by model and spot nodes are not in these traces; replacement times are not measured here.
- Helios is demand by minute: jobs of one GPU are made of its rises and falls, so packing is easier than it was.
- Azure is one hour of requests. Their length on a GPU is a model: 5,000 tokens read and 40 written a second, one request
  at a time. There the default is beaten and far from the oracle, and the reason is its own: a request takes seconds, so
  what piles up during a boot of two minutes is worked off by few GPUs, but the default orders a GPU for each request
  that waits and gives one node back at a time. For such work its demand would have to be weighed by how long it runs,
  which a scheduler does not say. Half an hour is also short against a boot, and the start from one node weighs on all.
`;
}

function sectionOf(one: JudgedTrace): string {
  const ours = one.results.find((result) => result.name === 'poolmeter');
  const ratio = 1 + (ours?.regret ?? NaN);
  const rows = one.results.map(
    (each) =>
      `| ${each.name} | ${each.cost.amount} | ${each.gpu_hours.provisioned} | ${each.gpu_hours.idle} | ${waitText(each.wait_s.p50)} | ${waitText(each.wait_s.p95)} | ${waitText(each.wait_s.p99)} | ${(each.over_objective_share * 100).toFixed(2)} % | ${each.nodes_added} | ${(1 + each.regret).toFixed(3)} |`,
  );
  const better =
    one.betterOnBoth.length === 0
      ? `None of the ${one.swept} swept classic policies is better than the default on both cost and wait.`
      : `Better than the default on both cost and wait are: ${one.betterOnBoth.join('; ')}.`;
  const same = [...one.cheaperAtTheSameWait].sort((a, b) => a.regret - b.regret)[0];
  const equal =
    same === undefined
      ? 'None is cheaper at the same wait either.'
      : `Cheaper at no longer a wait (95th percentile) are ${one.cheaperAtTheSameWait.length}; the cheapest is ${same.name}, at ${(1 + same.regret).toFixed(3)} times the oracle's cost.`;
  return `## ${one.name}

${one.jobs} jobs over ${one.days.toFixed(2)} days. Tuned on the first half: ${one.tuned}.

| policy | cost ${pool.currency} | provisioned GPU-h | idle GPU-h | wait p50 s | p95 s | p99 s | over objective | nodes added | cost / oracle |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
${rows.join('\n')}

![Cost and wait of every policy](images/${one.imageFile})

The default costs ${ratio.toFixed(3)} times the oracle: ${ratio <= 1.15 ? 'within' : 'beyond'} 1.15. ${better} ${equal}
`;
}
