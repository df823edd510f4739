/**
 * Comparisons with peers: 1,000 GPUs over six hours with odd ones among them that are known, found by the query that
 * runs live. Then 10,000 GPUs, for what each look of the monitor costs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createClickHouseEvidence,
  defaultPolicyFile,
  loadFaultPolicy,
  PEER_STEP_MS,
  verdicts,
  type EvidenceSource,
  type SignalStretch,
} from '@poolmeter/alerts';
import { instantFromMs, interval, parseInstant, type EpochMs } from '@poolmeter/domain';
import {
  gpuSamplesInsert,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { encodeSampleRows, sampleColumnsV1, type GpuSample } from '@poolmeter/telemetry-schema';
import type { Figures } from '../bench.js';
import { createRandom, type Random } from '../kill-rounds/random.js';
import { cpuSecondsOf } from '../process-usage.js';

const GPUS = 1_000;
const HOURS = 6;
const MINUTE_MS = 60_000;
const JOB_GPUS = 16;
const ODD_OF_EACH = 15;
const COST_GPUS = 10_000;
const COST_MINUTES = 75;
const ROUNDS = 3;

const policy = loadFaultPolicy(defaultPolicyFile);

/** Processor seconds that one look takes, the store's own included. */
export interface LookCosts {
  readonly [look: string]: number;
}

export async function judgePeers(): Promise<{ readonly figures: Figures; readonly costs: LookCosts }> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-faults-'));
  const logger = createLogger({ service: 'bench', level: 'silent' });
  const clickhouse = await startEmbeddedClickHouse({ dataDir: directory, logger });
  const { url, database, username, password } = clickhouse;
  const store = openMetricsStore({ url, database, username, password, applicationName: 'bench' });
  try {
    await migrateMetricsStore(store);
    const source = createClickHouseEvidence(store, policy);
    const figures = await judgeFleet(store, source);
    const costs = await costsOf(store, source, clickhouse.pid);
    return { figures, costs };
  } finally {
    await store.close();
    await clickhouse.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

type Oddity = 'none' | 'gpu-hot-outlier' | 'gpu-clocks-low' | 'gpu-straggler';

interface MadeUpGpu {
  readonly index: number;
  readonly oddity: Oddity;
  /** How odd: degrees, or a share. */
  readonly by: number;
  readonly celsius: number;
  readonly mhz: number;
  readonly watts: number;
}

async function judgeFleet(store: MetricsStore, source: EvidenceSource): Promise<Figures> {
  const random = createRandom(20_260_302);
  const from = parseInstant('2026-03-01T00:00:00Z');
  const gpus = Array.from({ length: GPUS }, (_, index) => madeUpGpu(index, random));
  const jobs = Array.from({ length: Math.ceil(GPUS / JOB_GPUS) }, () => random.next());
  for (let minute = 0; minute < HOURS * 60; minute += 10) {
    const samples = Array.from({ length: 10 }, (_, more) =>
      gpus.map((gpu) =>
        sampleOf(gpu, { at: instantFromMs(from + (minute + more) * MINUTE_MS), jobs, random }),
      ),
    ).flat();
    await store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(samples), token: `peers-${minute}` });
  }
  const signals: SignalStretch[] = [];
  const to = from + HOURS * 3_600_000;
  for (let step = from; step < to; step = instantFromMs(step + PEER_STEP_MS))
    signals.push(...(await source.comparePeers(step)));
  return scoreOf(gpus, signals, { from, asOf: instantFromMs(to) });
}

function madeUpGpu(index: number, random: Random): MadeUpGpu {
  const kinds: Oddity[] = ['gpu-hot-outlier', 'gpu-clocks-low', 'gpu-straggler'];
  const odd = index % 22 === 5 ? kinds[Math.floor(index / 22) % kinds.length] : undefined;
  const isUsed = odd !== undefined && Math.floor(index / 22) < ODD_OF_EACH * kinds.length;
  const oddity = isUsed ? odd : 'none';
  const by = oddity === 'gpu-hot-outlier' ? 10 + 14 * random.next() : 0.45 + 0.32 * random.next();
  return {
    index,
    oddity,
    by,
    celsius: normal(random, 0, 2.2),
    mhz: normal(random, 1_940, 25),
    watts: normal(random, 1, 0.03),
  };
}

function sampleOf(
  gpu: MadeUpGpu,
  of: { readonly at: EpochMs; readonly jobs: readonly number[]; readonly random: Random },
): GpuSample {
  const job = Math.floor(gpu.index / JOB_GPUS);
  // A job has a pace of its own, and pauses now and then for all of its GPUs.
  const pace = 0.72 + 0.25 * (of.jobs[job] ?? 0.5);
  const isPaused = Math.floor(of.at / MINUTE_MS + 100 * (of.jobs[job] ?? 0)) % 45 < 2;
  const held = gpu.oddity === 'gpu-straggler' ? gpu.by : 1;
  const activity = Math.min(1, Math.max(0, (isPaused ? 0.02 : pace * held) + normal(of.random, 0, 0.015)));
  const clock = gpu.mhz * (gpu.oddity === 'gpu-clocks-low' ? gpu.by : 1) + normal(of.random, 0, 15);
  const heat =
    34 +
    30 * activity +
    gpu.celsius +
    (gpu.oddity === 'gpu-hot-outlier' ? gpu.by : 0) +
    normal(of.random, 0, 0.8);
  return {
    ...blank,
    ts: of.at,
    ingestedAt: of.at,
    node: `node-${Math.floor(gpu.index / 8)}`,
    gpuUuid: `GPU-${gpu.index}`,
    gpuIndex: gpu.index % 8,
    leaseId: `train-${job}`,
    gpuUtilRatio: Math.round(activity * 100) / 100,
    graphicsEngineActiveRatio: activity,
    smActiveRatio: activity * 0.9,
    temperatureCelsius: Math.round(heat),
    smClockMhz: Math.round(clock),
    powerWatts: Math.round((110 + 560 * activity) * gpu.watts),
  };
}

function scoreOf(
  gpus: readonly MadeUpGpu[],
  signals: readonly SignalStretch[],
  span: { readonly from: EpochMs; readonly asOf: EpochMs },
): Figures {
  const seen = [interval(span.from, span.asOf)];
  const telemetry = gpus.map(({ index }) => {
    const place = {
      node: `node-${Math.floor(index / 8)}`,
      gpuUuid: `GPU-${index}`,
      pool: 'main',
      providerId: 'north',
    };
    return { ...place, demo: false, seen, unwell: [] };
  });
  const evidence = {
    asOf: span.asOf,
    events: [],
    history: [],
    telemetry,
    signals,
    leases: [],
    resolutions: [],
  };
  const told = new Map(verdicts(evidence, policy).map((one) => [`${one.code} ${one.gpuUuid}`, one.gpuUuid]));
  const truth = gpus.filter((one) => one.oddity !== 'none').map((one) => `${one.oddity} GPU-${one.index}`);
  const found = truth.filter((one) => told.has(one));
  // A GPU with low clocks holds its job back as well: what is said of an odd GPU is no false word.
  const odd = new Set(truth.map((one) => one.split(' ')[1]));
  const right = [...told.values()].filter((gpu) => odd.has(gpu)).length;
  return {
    faults_peer: truth.length,
    precision_peer: right / Math.max(1, told.size),
    recall_peer: found.length / Math.max(1, truth.length),
  };
}

async function costsOf(store: MetricsStore, source: EvidenceSource, pid: number): Promise<LookCosts> {
  const random = createRandom(7);
  const from = parseInstant('2026-03-02T00:00:00Z');
  const to = instantFromMs(from + COST_MINUTES * MINUTE_MS);
  const gpus = Array.from({ length: COST_GPUS }, (_, index) => madeUpGpu(index, random));
  const jobs = Array.from({ length: Math.ceil(COST_GPUS / JOB_GPUS) }, () => random.next());
  for (let minute = 0; minute < COST_MINUTES; minute += 1) {
    const at = instantFromMs(from + minute * MINUTE_MS);
    const samples = gpus.map((gpu) => sampleOf(gpu, { at, jobs, random }));
    await store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(samples), token: `cost-${minute}` });
  }
  const span = { node: '', from, to };
  const step = instantFromMs(Math.floor((to - PEER_STEP_MS) / PEER_STEP_MS) * PEER_STEP_MS);
  const look = (run: () => Promise<unknown>) => cpuOf(pid, run);
  return {
    events: await look(() => source.noticesAfter(new Map(), 20_000)),
    fleet: await look(() => source.gpusLastSeen()),
    signals: await look(() => source.signals(span)),
    history: await look(() => source.sampleFingerprints({ from, to })),
    peers: await look(() => source.comparePeers(step)),
    node: await look(async () => {
      const ofNode = { ...span, node: 'node-7' };
      const [telemetry, signals] = await Promise.all([
        source.telemetryOfNode(ofNode),
        source.signals(ofNode),
      ]);
      const events = await source.eventsOfNode('node-7', from);
      verdicts({ asOf: to, events, history: [], telemetry, signals, leases: [], resolutions: [] }, policy);
    }),
  };
}

/** The median of some rounds. */
async function cpuOf(pid: number, run: () => Promise<unknown>): Promise<number> {
  await run();
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = cpuSecondsOf(pid) + cpuSecondsOf(process.pid);
    await run();
    rounds.push(cpuSecondsOf(pid) + cpuSecondsOf(process.pid) - before);
  }
  return rounds.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? Number.NaN;
}

const blank = {
  ...(Object.fromEntries(
    sampleColumnsV1.filter((one) => one.missing !== undefined).map((one) => [one.field, null]),
  ) as Record<string, null>),
  gpuInstance: '',
  gpuInstanceProfile: '',
  gpuModel: 'NVIDIA H100 80GB HBM3',
  pool: 'main',
  providerId: 'north',
  energyEpoch: 0,
  flags: 0,
} as GpuSample;

function normal(random: Random, mean: number, deviation: number): number {
  const radius = Math.sqrt(-2 * Math.log(Math.max(random.next(), 1e-12)));
  return mean + deviation * radius * Math.cos(2 * Math.PI * random.next());
}
