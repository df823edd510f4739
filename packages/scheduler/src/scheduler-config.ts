/** The `scheduler` of a pool in pools.yaml: one member per adapter. Plain values, so that its JSON Schema can be written. */
import { z } from 'zod';

const HTTP_URL = /^https?:\/\/[^\s/]+/;

const httpUrl = z.string().regex(HTTP_URL, 'write an http or https URL');
const text = z.string().min(1);
const seconds = (most: number) => z.int().min(1).max(most);
const timeout = seconds(600).default(10).describe('How long one request may take.');
const bootTimeout = seconds(86_400)
  .default(900)
  .describe('A node that boots for longer than this counts as down, no longer as on its way.');
const gpuModels = z
  .record(text, text)
  .default({})
  .describe('What the scheduler calls a GPU: the model name of DCGM, such as h100: "NVIDIA H100 80GB HBM3".');
const pricingModes = z.record(text, z.enum(['on_demand', 'reserved', 'spot'])).default({});

const simulator = z.strictObject({
  kind: z.literal('simulator'),
  url: httpUrl.describe('Where the pool simulator serves its scheduler.'),
  token: text.optional(),
  timeout_s: timeout,
});

const slurm = z.strictObject({
  kind: z.literal('slurm'),
  url: z
    .string()
    .regex(/^(https?:\/\/[^\s/]+|unix:\/\S+)/, 'write http://HOST:PORT or unix:/PATH')
    .describe('Where slurmrestd listens: http://HOST:6820, or unix:/PATH of its socket.'),
  api_version: z
    .string()
    .regex(/^v0\.0\.(3[89]|[4-9]\d)$/, 'write v0.0.38 or a later version')
    .default('v0.0.38'),
  user: text.default('root').describe('The user of the token; it must see all jobs.'),
  token: text.optional().describe('A JWT (scontrol token). None where slurmrestd trusts its socket.'),
  token_file: text
    .optional()
    .describe('A file with the JWT, read at each request, so that it may be renewed.'),
  partitions: z.array(text).default([]).describe('Only nodes and jobs of these; all when empty.'),
  gpu_models: gpuModels,
  pricing_modes: pricingModes.describe('By QOS or partition; on_demand for the others.'),
  scontrol: z
    .array(text)
    .min(1)
    .optional()
    .describe('The command that changes nodes. When absent: REST from v0.0.39 on, scontrol before.'),
  slurm_conf: text.optional().describe('SLURM_CONF for scontrol.'),
  hold_powered_down: z
    .boolean()
    .default(true)
    .describe('Keep nodes drained that poolmeter powered down; otherwise Slurm wakes them for any job.'),
  boot_timeout_s: bootTimeout,
  min_job_age_s: seconds(86_400).default(300).describe('MinJobAge of slurm.conf.'),
  timeout_s: timeout,
});

const abilities = [
  'cordon',
  'uncordon',
  'drain',
  'remove',
  'add',
  'power_up',
  'power_down',
  'accounting',
] as const;

const webhook = z.strictObject({
  kind: z.literal('webhook'),
  url: httpUrl.describe('Below it: GET state, POST actions, GET accounting?since=.'),
  secret: z.string().min(16, 'use at least 16 characters').optional().describe('Signs every request.'),
  secret_file: text.optional().describe('A file with the secret, read at each request.'),
  can: z
    .array(z.enum(abilities))
    .default(['cordon', 'uncordon', 'drain', 'power_up', 'power_down'])
    .describe('What the program behind it can be asked for.'),
  timeout_s: timeout,
  attempts: z.int().min(1).max(10).default(3).describe('Requests in all when it does not answer.'),
});

export const schedulerConfigSchema = z.discriminatedUnion('kind', [simulator, slurm, webhook]);

export type SchedulerConfig = z.output<typeof schedulerConfigSchema>;
export type SlurmConfig = z.output<typeof slurm>;
export type WebhookConfig = z.output<typeof webhook>;
