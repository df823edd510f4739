/** What goes wrong in a round, and how often. */
import { setTimeout as pause } from 'node:timers/promises';
import type { KillWorld } from './kill-world.js';
import type { Random } from './random.js';

export interface Fault {
  readonly name: string;
  /** How often it is picked, against the others. */
  readonly weight: number;
  /** Absent: on every bus. */
  readonly only?: 'kafka';
  readonly strike: (world: KillWorld, random: Random) => Promise<void>;
}

export const faults: readonly Fault[] = [
  {
    name: 'pipeline killed',
    weight: 6,
    strike: async ({ workers }, random) => {
      const worker = random.pick(workers);
      await worker.kill();
      await pause(random.between(0, 300));
      worker.start();
    },
  },
  {
    name: 'both pipelines killed',
    weight: 2,
    strike: async ({ workers }) => {
      await Promise.all(workers.map((worker) => worker.kill()));
      for (const worker of workers) worker.start();
    },
  },
  {
    name: 'pipeline stopped and started: two rebalances',
    weight: 3,
    strike: async ({ workers }, random) => {
      const worker = random.pick(workers);
      await worker.stop();
      await pause(random.between(0, 300));
      worker.start();
    },
  },
  {
    name: 'pipeline frozen for longer than its session',
    weight: 1,
    strike: async ({ workers }, random) => {
      const worker = random.pick(workers);
      worker.freeze();
      await pause(random.between(500, 4_000));
      worker.thaw();
    },
  },
  { name: 'ClickHouse killed', weight: 6, strike: (world) => killClickHouse(world) },
  {
    name: 'ClickHouse killed again as it comes back',
    weight: 1,
    strike: async (world, random) => {
      await killClickHouse(world);
      await pause(random.between(0, 1_500));
      await killClickHouse(world);
    },
  },
  {
    name: 'connections to ClickHouse cut',
    weight: 3,
    strike: async ({ proxy }, random) => {
      for (let times = random.between(1, 6); times > 0; times -= 1) {
        proxy.cut();
        await pause(random.between(0, 150));
      }
    },
  },
  {
    name: 'answers of ClickHouse lost',
    weight: 3,
    strike: ({ proxy }, random) => proxy.swallowAnswersFor(random.between(50, 1_000)),
  },
  {
    name: 'ClickHouse out of reach',
    weight: 1,
    strike: ({ proxy }, random) => proxy.closeFor(random.between(50, 1_500)),
  },
  {
    name: 'pipeline and ClickHouse killed together',
    weight: 2,
    strike: async (world, random) => {
      const worker = random.pick(world.workers);
      await Promise.all([killClickHouse(world), worker.kill()]);
      worker.start();
    },
  },
  {
    name: 'broker killed and started again',
    weight: 1,
    only: 'kafka',
    strike: async ({ broker }) => {
      if (broker === undefined) throw new Error('There is no broker on this bus.');
      process.kill(await broker.pid(), 'SIGKILL');
      await broker.start();
    },
  },
  {
    name: 'broker frozen',
    weight: 1,
    only: 'kafka',
    strike: async ({ broker }, random) => {
      if (broker === undefined) throw new Error('There is no broker on this bus.');
      const pid = await broker.pid();
      process.kill(pid, 'SIGSTOP');
      await pause(random.between(200, 2_500));
      process.kill(pid, 'SIGCONT');
    },
  },
];

/** The process that holds the data; its supervisor starts the next one. */
function killClickHouse({ server }: KillWorld): Promise<void> {
  try {
    process.kill(server.pid, 'SIGKILL');
  } catch (fault) {
    // It died a moment ago and the next one is being started.
    if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault;
  }
  return Promise.resolve();
}

export function pickFault(world: KillWorld, random: Random): Fault {
  const open = faults.filter(({ only }) => only === undefined || only === world.kind);
  let at = random.between(
    0,
    open.reduce((sum, { weight }) => sum + weight, 0),
  );
  for (const fault of open) {
    at -= fault.weight;
    if (at < 0) return fault;
  }
  throw new Error('No fault was picked.');
}
