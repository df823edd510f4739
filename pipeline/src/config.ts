import { busSettings } from '@poolmeter/event-bus';
import {
  defineConfig,
  durationMs,
  httpAddress,
  loadConfig,
  portNumber,
  secretText,
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
    .describe('A range of messages is stored at the latest after this long.'),
  flushRows: wholeNumber.default(100_000).describe('A range is stored at once when it has this many rows.'),
  flushBytes: wholeNumber
    .default(16_777_216)
    .describe('A range is stored at once when it has this many bytes.'),
  // A batch of messages from the bus may go beyond it once per partition.
  maxBufferedBytes: wholeNumber
    .default(67_108_864)
    .describe('Reading pauses while more than this is in memory.'),
  parallelInserts: wholeNumber.default(2).describe('Inserts that are under way at the same time.'),
  handOverTimeoutMs: durationMs
    .default(5_000)
    .describe('How long a partition that is given away may take to be flushed.'),
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
