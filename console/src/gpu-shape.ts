/** GPUs and samples on the wire: the unit columns, `null` where the exporter gave nothing. */
import { z } from '@hono/zod-openapi';
import { instantSchema } from '@poolmeter/http-api';

const ratio = z.number().nullable().openapi({ description: 'Ratio, 0 to 1.' });
const value = z.number().nullable();

/** The unit columns that a sample and a point of a history share. */
const readings = {
  gpu_util_ratio: ratio,
  memory_copy_util_ratio: ratio,
  graphics_engine_active_ratio: ratio,
  sm_active_ratio: ratio,
  sm_occupancy_ratio: ratio,
  tensor_active_ratio: ratio,
  dram_active_ratio: ratio,
  memory_used_bytes: value,
  memory_total_bytes: value,
  power_watts: value,
  power_limit_watts: value,
  energy_joules: value,
  energy_epoch: z.number(),
  temperature_celsius: value,
  memory_temperature_celsius: value,
  temperature_margin_celsius: value,
  sm_clock_mhz: value,
  memory_clock_mhz: value,
  throttle_reasons: value,
  pcie_tx_bytes_per_second: value,
  pcie_rx_bytes_per_second: value,
  nvlink_bytes_per_second: value,
  pcie_replay_total: value,
  ecc_correctable_total: value,
  ecc_uncorrectable_total: value,
  row_remap_correctable_total: value,
  row_remap_uncorrectable_total: value,
  row_remap_state: value,
  recovery_action: value,
  last_xid: value.openapi({ description: 'As the exporter latched it: evidence, never a fault by itself.' }),
  flags: z.number(),
};

export const readingNames = Object.keys(readings) as (keyof typeof readings)[];

export const latestSchema = z
  .object({ ts: instantSchema, ingested_at: instantSchema, ...readings })
  .openapi('GpuLatest');

export const pointSchema = z
  .object({
    ts: instantSchema,
    sample_count: z.int().openapi({ description: 'Stored samples behind the point.' }),
    lease_id: z.string().openapi({ description: 'As the labels of the scheduler said; evidence only.' }),
    ...readings,
  })
  .openapi('GpuSamplePoint');

export const gpuStates = ['healthy', 'faulty', 'verifying', 'unknown', 'lost'] as const;
export type GpuState = (typeof gpuStates)[number];
export const gpuStateSchema = z.enum(gpuStates);

const leaseSchema = z
  .object({
    lease_id: z.string(),
    customer_id: z.string().nullable().openapi({ description: 'Null for a provider.' }),
    project: z.string().nullable(),
    gpu_instance: z.string(),
    share: z.string(),
    pricing_mode: z.string(),
    started_at: instantSchema,
  })
  .openapi('GpuLease');

export const gpuSchema = z
  .object({
    gpu_uuid: z.string(),
    gpu_index: z.int(),
    gpu_model: z.string(),
    node: z.string(),
    pool: z.string(),
    provider_id: z.string(),
    state: gpuStateSchema,
    state_since: instantSchema
      .nullable()
      .openapi({ description: 'Null where the fault monitor says nothing.' }),
    incident_id: z.string().nullable(),
    stale: z.boolean().openapi({ description: 'No sample for three intervals; then it is never healthy.' }),
    demo: z.boolean().openapi({ description: 'Made up by the demo pool.' }),
    lease: leaseSchema.nullable().openapi({ description: 'The oldest of the leases.' }),
    leases: z.array(leaseSchema).openapi({ description: 'All that run now: a GPU may be leased in shares.' }),
    instances: z.array(
      z.object({ gpu_instance: z.string(), profile: z.string(), latest: latestSchema.nullable() }),
    ),
    latest: latestSchema.nullable(),
  })
  .openapi('Gpu');

export type GpuJson = z.output<typeof gpuSchema>;
export type LeaseJson = z.output<typeof leaseSchema>;
export type LatestJson = z.output<typeof latestSchema>;
export type PointJson = z.output<typeof pointSchema>;
