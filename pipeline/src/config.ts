import { busSettings } from '@poolmeter/event-bus';
import {
  defineConfig,
  durationMs,
  httpAddress,
  loadConfig,
  portNumber,
  secretText,
  textList,
  wholeNumber,
} from '@poolmeter/service';
import { z } from 'zod';

export const PIPELINE_PREFIX = 'POOLMETER_PIPELINE';

/** How the pipeline works, wherever it runs. */
export const pipelineSettings = {
  group: z
    .string()
    .min(1)
    .default('poolmeter-pipeline')
    .describe('Consumer group; copies with the same group share the work.'),
  partitions: wholeNumber
    .default(4)
    .describe('Partitions of a topic that this role creates; existing topics stay as they are.'),
  flushIntervalMs: durationMs
    .default(500)
    .describe('A range of messages waits at least this long for more, unless it is full.'),
  flushIntervalMaxMs: durationMs
    .default(1_200)
    .describe('It waits for at most this long, however much the inserts of all partitions cost.'),
  insertSharePercent: wholeNumber
    .refine((percent) => percent >= 1, 'must be 1 at least')
    .default(10)
    .describe('Percent of one core that inserts closed by time may take before ranges wait longer.'),
  flushRows: wholeNumber.default(100_000).describe('A range is stored at once when it has this many rows.'),
  flushBytes: wholeNumber
    .default(16_777_216)
    .describe('A range is stored at once when it has this many bytes.'),
  // A batch of messages from the bus may go beyond it once per partition.
  maxBufferedBytes: wholeNumber
    .default(67_108_864)
    .describe('Reading pauses while more than this is in memory.'),
  parallelInserts: wholeNumber.default(2).describe('Inserts that are under way at the same time.'),
  reconcileIntervalMs: durationMs
    .default(1_800_000)
    .describe('How often rollups are compared with the raw table, and made again where they differ.'),
  handOverTimeoutMs: durationMs
    .default(5_000)
    .describe('How long a partition that is given away may take to be flushed.'),
  gapWindowMs: durationMs
    .default(300_000)
    .describe('A message of an agent that is missing for this long is told as a gap.'),
  providers: textList
    .default([])
    .describe(
      'Providers with topics of their own (poolmeter.gpu-samples.NAME, poolmeter.gpu-events.NAME), separated by commas.',
    ),
  sharedTopic: z
    .enum(['trust', 'refuse'])
    .default('trust')
    .describe(
      'Messages on poolmeter.gpu-samples and poolmeter.gpu-events: trust takes the provider that they name, refuse sends them to the dead letters.',
    ),
  pools: z
    .string()
    .min(1)
    .optional()
    .describe(
      'The pools file: whose the nodes are, for topics of providers. Without it a node belongs to the provider that spoke for it first.',
    ),
};

const pipelineSettingsSchema = defineConfig(pipelineSettings);
export type PipelineConfig = z.infer<typeof pipelineSettingsSchema>;

/** What a pipeline uses when nothing is set. */
export function pipelineDefaults(): PipelineConfig {
  return pipelineSettingsSchema.parse({});
}

/** The pipeline as a process of its own: what it connects to, besides how it works. */
export const pipelineConfigSchema = defineConfig({
  ...pipelineSettings,
  ...busSettings,
  clickhouseUrl: httpAddress.describe('ClickHouse over HTTP, such as http://127.0.0.1:8123.'),
  clickhouseDatabase: z.string().default('poolmeter'),
  clickhouseUsername: z.string().default('default'),
  clickhousePassword: secretText.optional(),
  opsHost: z.string().default('127.0.0.1'),
  opsPort: portNumber.default(9401).describe('Health and metrics of this process; 0 takes any free port.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type PipelineProcessConfig = z.infer<typeof pipelineConfigSchema>;

export function loadPipelineConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues?: Record<string, unknown>,
): PipelineProcessConfig {
  return loadConfig(pipelineConfigSchema, {
    env,
    prefix: PIPELINE_PREFIX,
    ...(fileValues === undefined ? {} : { fileValues }),
  });
}

/** What a tool needs that only works on the pipeline's topics: the same settings, and no ClickHouse. */
const pipelineBusConfigSchema = pipelineConfigSchema.partial({ clickhouseUrl: true });

export function loadPipelineBusConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues: Record<string, unknown>,
): z.infer<typeof pipelineBusConfigSchema> {
  return loadConfig(pipelineBusConfigSchema, { env, prefix: PIPELINE_PREFIX, fileValues });
}
