import { busSettings } from '@poolmeter/event-bus';
import {
  defineConfig,
  durationMs,
  flag,
  loadConfig,
  portNumber,
  textList,
  wholeNumber,
} from '@poolmeter/service';
import { z } from 'zod';

export const COLLECTOR_PREFIX = 'POOLMETER_COLLECTOR';

/** `gpu-1=http://gpu-1:9400/metrics`, or the address alone. */
const NAMED = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)$/;

interface Named {
  readonly node: string | undefined;
  readonly value: string;
}

/** Takes the node's name off the front of an address or a path. */
export function namedValue(text: string): Named {
  const [, node, value] = NAMED.exec(text) ?? [];
  return node === undefined || value === undefined ? { node: undefined, value: text } : { node, value };
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** The collector as a process of its own: what it reads, where it sends it. */
export const collectorConfigSchema = defineConfig({
  scrape: textList
    .refine(
      (targets) => targets.every((target) => isHttpUrl(namedValue(target).value)),
      'must list http(s) addresses',
    )
    .default([])
    .describe('Addresses of dcgm-exporters, separated by commas; NODE=URL names the node.'),
  kernelLogs: textList
    .default([])
    .describe('Kernel log files, separated by commas; NODE=FILE names the node that wrote it.'),
  pool: z.string().min(1).default('default').describe('The pool that these nodes belong to.'),
  providerId: z.string().min(1).default('default').describe('Who owns the hardware.'),
  providerTopics: flag
    .default(false)
    .describe(
      'Whether to publish to the provider’s own topics, poolmeter.gpu-samples.PROVIDER and poolmeter.gpu-events.PROVIDER.',
    ),
  scrapeIntervalMs: durationMs
    .refine((ms) => ms >= 100, 'must be 100ms at least')
    .default(10_000)
    .describe('How often each exporter is scraped.'),
  stateDirectory: z
    .string()
    .min(1)
    .default('.poolmeter/collector')
    .describe('Folder for the spool and for what must outlive a restart.'),
  spoolMaxBytes: wholeNumber
    .refine((bytes) => bytes >= 1_000_000, 'must be 1000000 at least')
    .default(536_870_912)
    .describe('Beyond this many bytes in the spool the oldest messages are lost.'),
  agent: z
    .string()
    .min(1)
    .optional()
    .describe('Name of this agent in messages; the machine’s name when absent.'),
  ...busSettings,
  opsHost: z.string().default('127.0.0.1'),
  opsPort: portNumber.default(9402).describe('Health and metrics of this process; 0 takes any free port.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type CollectorProcessConfig = z.infer<typeof collectorConfigSchema>;

export function loadCollectorConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues?: Record<string, unknown>,
): CollectorProcessConfig {
  return loadConfig(collectorConfigSchema, {
    env,
    prefix: COLLECTOR_PREFIX,
    ...(fileValues === undefined ? {} : { fileValues }),
  });
}
