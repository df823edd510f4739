/** Rounds of kills on a pipeline under load; after each few of them, what is stored is compared with what was sent. */
import { setTimeout as pause } from 'node:timers/promises';
import { differencesInDetail, differencesInTotals, drain } from './compare-with-truth.js';
import { pickFault } from './faults.js';
import { startKillWorld, type BusKind, type KillWorld } from './kill-world.js';
import { createRandom, type Random } from './random.js';

export interface KillRoundsOptions {
  readonly bus: BusKind;
  readonly rounds: number;
  /** Everything is compared after this many rounds, and at the end. */
  readonly compareEvery: number;
  readonly seed: number;
  onProgress?(text: string): void;
}

export interface KillRoundsResult {
  readonly rounds: number;
  /** How often each fault struck. */
  readonly strikes: Readonly<Record<string, number>>;
  readonly rows: number;
  /** Empty when the store holds exactly what was sent. */
  readonly differences: readonly string[];
  /** What the pipelines logged last; for when there are differences. */
  readonly lines: readonly string[];
}

/** Share of strikes that wait for an INSERT to be on its way. */
const SHARE_AIMED = 0.7;
const AIM_LIMIT_MS = 1_500;
/** An INSERT and its rollups take about this long. */
const INSERT_MS = 200;
/** Share of rounds in which the next fault strikes before this one is over. */
const SHARE_OVERLAPPING = 0.25;

export async function runKillRounds(options: KillRoundsOptions): Promise<KillRoundsResult> {
  const random = createRandom(options.seed);
  const world = await startKillWorld(options.bus, random);
  try {
    for (const worker of world.workers) worker.start();
    return await strikeAndCompare(world, random, options);
  } finally {
    await world.stop();
  }
}

async function strikeAndCompare(
  world: KillWorld,
  random: Random,
  options: KillRoundsOptions,
): Promise<KillRoundsResult> {
  const strikes: Record<string, number> = {};
  let differences: string[] = [];
  let round = 0;
  let last: string[] = [];
  let overlapping: Promise<void> = Promise.resolve();
  while (round < options.rounds && differences.length === 0) {
    world.agents.start();
    const fault = pickFault(world, random);
    round += 1;
    last.push(fault.name);
    strikes[fault.name] = (strikes[fault.name] ?? 0) + 1;
    await moment(world, random);
    const struck = fault.strike(world, random);
    if (random.isTrueIn(SHARE_OVERLAPPING))
      overlapping = Promise.all([overlapping, struck]).then(() => undefined);
    else await struck;
    if (round % options.compareEvery !== 0 && round < options.rounds) continue;
    await overlapping;
    differences = await compare(world);
    const found = differences.length === 0 ? 'nothing lost, nothing twice' : differences.join('; ');
    options.onProgress?.(`${round} rounds on ${options.bus}, last ${last.join(', ')}: ${found}.`);
    last = [];
  }
  if (differences.length === 0) differences = await differencesInDetail(world);
  const { rows } = world.truth.totals;
  return { rounds: round, strikes, rows, differences, lines: world.lines };
}

/** When to strike: often while an INSERT is being worked on. */
async function moment({ proxy }: KillWorld, random: Random): Promise<void> {
  if (!random.isTrueIn(SHARE_AIMED)) {
    await pause(random.between(0, 400));
    return;
  }
  const tooLong = AbortSignal.timeout(AIM_LIMIT_MS);
  await proxy.nextInsert(tooLong);
  await pause(random.between(0, INSERT_MS));
}

/** With the agents at rest; they go on with the next round. */
async function compare(world: KillWorld): Promise<string[]> {
  await world.agents.stop();
  const undrained = await drain(world);
  return [...undrained, ...(await differencesInTotals(world))];
}
