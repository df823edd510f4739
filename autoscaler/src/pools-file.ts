/** pools.yaml: which nodes belong to which pool and provider, who schedules them, and how far poolmeter may go there. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { schedulerConfigSchema } from '@poolmeter/scheduler';
import { z } from 'zod';
import { modes, type Mode } from './observation.js';
import { parseScalingPolicy, scalingPolicySchema, type ScalingPolicy } from './scaling-policy.js';
import { parseYaml } from './yaml-document.js';

/** How the scheduler of a pool is reached; the package scheduler makes an adapter of it. */
export interface PoolScheduler {
  readonly kind: string;
  /** The settings of that kind. */
  readonly [setting: string]: unknown;
}

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'use letters, digits, dots, dashes, underscores');

const poolSchema = z.strictObject({
  id: name,
  nodes: z
    .array(z.string().regex(/^[A-Za-z0-9.*?_-]+$/, 'write a node name; * and ? stand for any characters'))
    .min(1)
    .describe('Node names or patterns. A node belongs to the first pool that names it.'),
  provider: name.describe('Who owns the hardware.'),
  scheduler: schedulerConfigSchema
    .optional()
    .describe('Without one the pool is measured and billed, never scaled.'),
  mode: z.enum(modes).default('recommend'),
  policy: z
    .union([z.string().min(1).describe('A policy file, relative to this one.'), scalingPolicySchema])
    .optional()
    .describe('The scaling policy; the default one when absent.'),
});

export const poolsFileSchema = z
  .strictObject({ pools: z.array(poolSchema).min(1) })
  .superRefine(({ pools }, context) => {
    pools.forEach((pool, index) => {
      if (pools.findIndex((other) => other.id === pool.id) === index) return;
      context.addIssue({
        code: 'custom',
        path: ['pools', index, 'id'],
        message: `"${pool.id}" is used twice`,
      });
    });
  })
  .describe('poolmeter pools');

export interface Pool {
  readonly id: string;
  readonly nodePatterns: readonly string[];
  readonly providerId: string;
  readonly scheduler: PoolScheduler | undefined;
  readonly mode: Mode;
  readonly policy: ScalingPolicy;
}

/** Reads pools.yaml and the policy files that it names. Faults are reported all at once, with their lines. */
export async function loadPools(path: string): Promise<Pool[]> {
  const { pools } = parseYaml(poolsFileSchema, { text: await readText(path), name: basename(path) });
  return Promise.all(
    pools.map(async ({ id, nodes, provider, scheduler, mode, policy }) => ({
      id,
      nodePatterns: nodes,
      providerId: provider,
      scheduler,
      mode,
      policy: await policyOf(policy, path),
    })),
  );
}

async function policyOf(
  given: string | ScalingPolicy | undefined,
  poolsPath: string,
): Promise<ScalingPolicy> {
  if (given === undefined) return scalingPolicySchema.parse({});
  if (typeof given !== 'string') return given;
  const path = resolve(dirname(poolsPath), given);
  return parseScalingPolicy({ text: await readText(path), name: basename(path) });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new PoolmeterError('config.invalid', `${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** The pool of a node: the first one in the file's order with a pattern that matches its whole name. */
export function poolForNode(pools: readonly Pool[], node: string): Pool | undefined {
  return pools.find((pool) => pool.nodePatterns.some((pattern) => matches(pattern, node)));
}

function matches(pattern: string, node: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\-]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(node);
}
