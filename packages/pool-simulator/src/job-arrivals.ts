/** Which jobs customers submit, and when: more by day, fewer at weekends, and in bursts. */
import { gpuModels } from './gpu-model.js';
import type { JobSpec, PricingMode } from './job.js';
import type { CustomerShape, PoolShape } from './pool-shape.js';
import { hash32, RandomStream, unitAt } from './random.js';
import type { WorkloadProfile } from './workload-pattern.js';

const HOUR_MS = 3_600_000;
const BURST_SLOT_MS = 2 * HOUR_MS;

interface JobTemplate {
  readonly weight: number;
  readonly gpus: number;
  readonly migProfiles: readonly string[];
  readonly models: readonly (readonly [string, number])[];
  readonly medianHours: number;
  readonly spread: number;
  readonly profiles: readonly (readonly [WorkloadProfile, number])[];
  readonly keepsLease: boolean;
  readonly priority: number;
}

const { h100, a100, l40s } = gpuModels;

const TRAINING: readonly (readonly [WorkloadProfile, number])[] = [
  ['training_steady', 6],
  ['training_oscillating', 4],
  ['stalled', 2],
];
const LARGE: readonly (readonly [string, number])[] = [
  [h100.name, 3],
  [a100.name, 2],
];
const ANY: readonly (readonly [string, number])[] = [
  [h100.name, 2],
  [a100.name, 2],
  [l40s.name, 3],
];

const batch = { migProfiles: [], keepsLease: false, priority: 0, spread: 0.8 };
const rental = { migProfiles: [], keepsLease: true, priority: 10, spread: 0.6 };

const templates: readonly JobTemplate[] = [
  { ...batch, weight: 5, gpus: 8, models: LARGE, medianHours: 4, profiles: TRAINING },
  { ...batch, weight: 8, gpus: 4, models: LARGE, medianHours: 2.5, profiles: TRAINING },
  { ...batch, weight: 10, gpus: 2, models: ANY, medianHours: 1.5, profiles: TRAINING },
  { ...batch, weight: 26, gpus: 1, models: ANY, medianHours: 0.9, profiles: TRAINING },
  { ...batch, weight: 16, gpus: 1, models: ANY, medianHours: 0.2, profiles: [['stalled', 1]] },
  {
    ...rental,
    weight: 7,
    gpus: 1,
    models: [
      [l40s.name, 5],
      [a100.name, 1],
    ],
    medianHours: 14,
    profiles: [['inference_bursty', 1]],
  },
  {
    ...rental,
    weight: 14,
    gpus: 1,
    migProfiles: ['1g.10gb', '1g.10gb', '1g.10gb', '2g.20gb', '3g.40gb'],
    models: [],
    medianHours: 9,
    profiles: [
      ['inference_bursty', 3],
      ['notebook', 2],
    ],
  },
  {
    ...rental,
    weight: 8,
    gpus: 1,
    models: ANY,
    medianHours: 5,
    profiles: [
      ['notebook', 2],
      ['idle_leased', 2],
    ],
  },
];

/** Weight of a job of each template times its mean GPU-hours (the mean of a log-normal is above its median). */
function meanGpuHours(): number {
  const total = templates.reduce((sum, one) => sum + one.weight, 0);
  return templates.reduce((sum, one) => {
    const boards = one.migProfiles.length > 0 ? 0 : one.gpus;
    return sum + (one.weight / total) * boards * one.medianHours * Math.exp(one.spread ** 2 / 2);
  }, 0);
}

export interface ArrivalOptions {
  readonly shape: PoolShape;
  readonly seed: number;
  /** Before every job id, so that two pools never share one. */
  readonly idPrefix: string;
}

export class JobArrivals {
  readonly #shape: PoolShape;
  readonly #seed: number;
  readonly #idPrefix: string;
  readonly #stream: RandomStream;
  readonly #ratePerMs: number;
  #jobs = 0;

  constructor(options: ArrivalOptions) {
    this.#shape = options.shape;
    this.#seed = options.seed;
    this.#idPrefix = options.idPrefix;
    this.#stream = new RandomStream(options.seed, 'arrivals');
    const boards = options.shape.nodes.reduce(
      (sum, node) => sum + node.gpus - Object.keys(node.mig ?? {}).length,
      0,
    );
    this.#ratePerMs = (options.shape.demandRatio * boards) / meanGpuHours() / HOUR_MS;
  }

  /** How many jobs are there when the history begins, so that it does not begin with an empty pool. */
  initialJobs(): number {
    return Math.ceil(this.#ratePerMs * HOUR_MS * 3);
  }

  /** When the next job comes after `from` (thinning of a Poisson process at the highest rate). */
  nextAfter(from: number): number {
    const ceiling = this.#ratePerMs * MAX_FACTOR;
    let at = from;
    do {
      at += this.#stream.exponential(1 / ceiling);
    } while (this.#stream.unit() * MAX_FACTOR > this.#factorAt(at));
    return Math.ceil(at);
  }

  #factorAt(at: number): number {
    const hour = (at / HOUR_MS) % 24;
    const weekday = (Math.floor(at / (24 * HOUR_MS)) + 4) % 7;
    const day = 1 + 0.5 * Math.sin(((hour - 8) / 24) * 2 * Math.PI);
    const week = weekday === 0 || weekday === 6 ? 0.65 : 1.1;
    const burst = unitAt(this.#seed ^ 0xb0a57, Math.floor(at / BURST_SLOT_MS)) > 0.92 ? 2.6 : 0.87;
    return day * week * burst;
  }

  next(): JobSpec {
    this.#jobs += 1;
    const number = String(this.#jobs).padStart(6, '0');
    const draw = new RandomStream(this.#seed, `job/${number}`);
    const template = draw.pick(templates.map((one) => [one, one.weight] as const));
    const customer = draw.pick(this.#shape.customers.map((one) => [one, one.weight] as const));
    return {
      jobId: `${this.#idPrefix}${number}`,
      seed: hash32(this.#seed, this.#jobs),
      customerId: customer.customerId,
      project: draw.pick(customer.projects.map((name) => [name, 1] as const)),
      pricingMode: pricingModeOf(customer, draw),
      ...this.#hardwareOf(template, draw),
      durationMs: Math.floor(
        Math.min(72, Math.max(0.05, draw.logNormal(template.medianHours, template.spread))) * HOUR_MS,
      ),
      profile: draw.pick(template.profiles),
      intensity: draw.between(0.8, 1.35),
      priority: template.priority,
      keepsLease: template.keepsLease,
    };
  }

  /** A pool without MIG boards gives a whole board instead; models that it does not have are not asked for. */
  #hardwareOf(template: JobTemplate, draw: RandomStream): Pick<JobSpec, 'gpus' | 'migProfile' | 'gpuModels'> {
    const { nodes } = this.#shape;
    const cut = new Set(nodes.flatMap((node) => Object.values(node.mig ?? {}).flat()));
    const profiles = template.migProfiles.filter((name) => cut.has(name));
    if (profiles.length > 0) {
      const migProfile = draw.pick(profiles.map((name) => [name, 1] as const));
      return { gpus: 1, migProfile, gpuModels: [] };
    }
    const here = template.models.filter(([name]) => nodes.some((node) => node.gpuModel === name));
    const gpuModels = here.length === 0 ? [] : [draw.pick(here)];
    const largest = Math.max(...nodes.map((node) => node.gpus));
    return { gpus: Math.min(template.gpus, largest), migProfile: undefined, gpuModels };
  }
}

const MAX_FACTOR = 1.5 * 1.1 * 2.6;

function pricingModeOf(customer: CustomerShape, draw: RandomStream): PricingMode {
  return draw.pick(customer.pricingModes);
}
