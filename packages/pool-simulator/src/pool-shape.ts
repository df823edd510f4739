import { gpuModels } from './gpu-model.js';

/** One node of the pool as it is bought: its hardware, its owner and how its boards are cut. */
export interface NodeShape {
  readonly node: string;
  readonly providerId: string;
  readonly gpuModel: string;
  readonly gpus: number;
  /** MIG profiles by GPU index; boards that are not named stay whole. */
  readonly mig?: Readonly<Record<number, readonly string[]>>;
  /** A lemon breaks more often than its peers, and more than once in a row. */
  readonly lemon?: boolean;
}

export interface CustomerShape {
  readonly customerId: string;
  readonly projects: readonly string[];
  /** Share of all jobs, relative to the other customers. */
  readonly weight: number;
  readonly pricingModes: readonly (readonly ['on_demand' | 'reserved' | 'spot', number])[];
}

export interface PoolShape {
  readonly pool: string;
  readonly driverVersion: string;
  readonly nodes: readonly NodeShape[];
  readonly customers: readonly CustomerShape[];
  /** GPUs asked for by the average instant, as a share of the GPUs that are there; above 1 the queue grows. */
  readonly demandRatio: number;
  /** Faults per node and day, all kinds together. Real fleets see about 0.007; a demonstration needs more. */
  readonly faultsPerNodeDay: number;
  /** How long a node boots after power_up, add or a reboot. */
  readonly bootMs: number;
}

const SEVENTHS = ['1g.10gb', '1g.10gb', '1g.10gb', '1g.10gb', '1g.10gb', '1g.10gb', '1g.10gb'];

/** Six nodes of eight GPUs at two providers, with four customers. */
export function defaultPoolShape(): PoolShape {
  const { h100, a100, l40s } = gpuModels;
  return {
    pool: 'main',
    driverVersion: '580.105.08',
    nodes: [
      { node: 'gpu-01', providerId: 'north', gpuModel: h100.name, gpus: 8 },
      { node: 'gpu-02', providerId: 'south', gpuModel: h100.name, gpus: 8, lemon: true },
      {
        node: 'gpu-03',
        providerId: 'north',
        gpuModel: a100.name,
        gpus: 8,
        mig: { 0: SEVENTHS, 1: SEVENTHS, 2: ['3g.40gb', '2g.20gb', '2g.20gb'] },
      },
      { node: 'gpu-04', providerId: 'south', gpuModel: a100.name, gpus: 8, mig: { 7: SEVENTHS } },
      { node: 'gpu-05', providerId: 'north', gpuModel: l40s.name, gpus: 8 },
      { node: 'gpu-06', providerId: 'south', gpuModel: l40s.name, gpus: 8 },
    ],
    customers: [
      {
        customerId: 'acme',
        projects: ['llm-pretrain', 'speech'],
        weight: 4,
        pricingModes: [
          ['reserved', 3],
          ['on_demand', 2],
        ],
      },
      {
        customerId: 'globex',
        projects: ['recommender', 'vision'],
        weight: 3,
        pricingModes: [
          ['on_demand', 3],
          ['spot', 1],
        ],
      },
      {
        customerId: 'initech',
        projects: ['report-bot'],
        weight: 2,
        pricingModes: [
          ['on_demand', 1],
          ['reserved', 1],
        ],
      },
      {
        customerId: 'hooli',
        projects: ['search', 'nightly-eval'],
        weight: 2,
        pricingModes: [
          ['spot', 3],
          ['on_demand', 1],
        ],
      },
    ],
    demandRatio: 0.95,
    faultsPerNodeDay: 0.35,
    bootMs: 180_000,
  };
}
