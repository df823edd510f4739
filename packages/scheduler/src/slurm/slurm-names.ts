/** What things of Slurm are called in poolmeter: a pool's settings decide. */
import type { HeldShare } from '../scheduler.js';
import type { SlurmJob } from './slurm-wire.js';

export interface SlurmNames {
  readonly pool: string;
  readonly providerId: string;
  modelOf(gresType: string): string;
  customerOf(job: Pick<SlurmJob, 'account' | 'user_name'>): string;
  projectOf(job: Pick<SlurmJob, 'wckey'>): string;
  pricingModeOf(job: Pick<SlurmJob, 'qos' | 'partition'>): HeldShare['pricingMode'];
  gpuUuidOf(node: string, index: number): string;
}

export interface SlurmNaming {
  readonly pool: string;
  readonly providerId: string;
  /** From the types of gres.conf to the models of DCGM: `{h100: "NVIDIA H100 80GB HBM3"}`. */
  readonly gpuModels: Readonly<Record<string, string>>;
  /** By QOS, then by partition; `on_demand` for the others. */
  readonly pricingModes: Readonly<Record<string, HeldShare['pricingMode']>>;
  /** Slurm numbers GPUs; who knows their UUIDs tells them. */
  readonly uuids: ReadonlyMap<string, string>;
}

export function slurmNames(naming: SlurmNaming): SlurmNames {
  return {
    pool: naming.pool,
    providerId: naming.providerId,
    modelOf: (type) => naming.gpuModels[type] ?? type,
    // Without accounting Slurm asks nobody for an account; then the user is the customer.
    customerOf: (job) => job.account || job.user_name || 'unknown',
    // Slurm marks a default key with a star.
    projectOf: (job) => job.wckey.replace(/^\*/, ''),
    pricingModeOf: (job) => naming.pricingModes[job.qos] ?? naming.pricingModes[job.partition] ?? 'on_demand',
    gpuUuidOf: (node, index) => naming.uuids.get(gpuPlace(node, index)) ?? gpuPlace(node, index),
  };
}

/** A GPU by its place, where its UUID is not known: `gpu1/3`. */
export function gpuPlace(node: string, index: number): string {
  return `${node}/${index}`;
}
