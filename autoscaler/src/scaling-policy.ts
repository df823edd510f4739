/** The scaling policy: data with a version and a digest, so that each decision can say which one it followed. */
import { digestOf } from '@poolmeter/domain';
import { z } from 'zod';
import { parseYaml } from './yaml-document.js';

const seconds = (max = 31 * 86_400) => z.number().int().min(0).max(max);
const ratio = z.number().min(0).max(1);
const nodes = z.number().int().min(0).max(1_000_000);
/** An amount as text: money is never a number. */
const amount = z.string().regex(/^\d{1,18}(\.\d{1,9})?$/, 'write an amount such as "2.50"');

/** Every key has a default; an empty file is the default policy. */
export const scalingPolicySchema = z
  .strictObject({
    version: z.literal(1).default(1).describe('Version of this format.'),
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'use small letters, digits and dashes')
      .default('default'),
    target_wait_s: seconds().default(120).describe('Work should not wait longer than this for GPUs.'),
    boot_estimate_s: seconds(86_400).default(120).describe('How long a new node usually takes.'),
    boot_timeout_s: seconds(86_400)
      .default(900)
      .describe('After this, a booting node is no longer counted on.'),
    min_nodes: nodes.default(0),
    max_nodes: nodes.default(1_000).describe('Never more nodes than this, booting ones included.'),
    max_gpus: nodes.default(8_000).describe('Never more GPUs than this, booting ones included.'),
    headroom: z
      .strictObject({
        gpus: nodes.default(0).describe('Healthy free GPUs to keep ready.'),
        ratio: ratio
          .default(0.05)
          .describe('The same as a share of all healthy GPUs; the larger one counts.'),
      })
      .prefault({}),
    forecast: z
      .strictObject({
        window_s: seconds(86_400).default(900).describe('Length of the moving average of demand.'),
      })
      .prefault({}),
    scale_out: z
      .strictObject({
        max_nodes_per_step: nodes.min(1).default(16),
        max_nodes_per_hour: nodes.min(1).default(240).describe('Added in any hour, all steps together.'),
        cooldown_s: seconds().default(60),
        back_off_s: seconds(86_400)
          .default(300)
          .describe('After nodes that never came; doubled by each further failure, up to six times it.'),
      })
      .prefault({}),
    scale_in: z
      .strictObject({
        idle_for_s: seconds().default(900).describe('A node must have been free for this long.'),
        max_nodes_per_step: nodes.min(1).default(1),
        max_nodes_per_hour: nodes.min(1).default(60).describe('Given back in any hour, all steps together.'),
        max_turns_per_hour: nodes
          .min(1)
          .default(6)
          .describe('When the direction changed this often in an hour, nothing more is given back.'),
        cooldown_s: seconds().default(300).describe('Also counted from the last scale-out.'),
        after_restart_s: seconds().default(600).describe('Nothing is removed this soon after a restart.'),
      })
      .prefault({}),
    replace: z
      .strictObject({
        after_s: seconds().default(0).describe('How long a GPU must be faulty or lost.'),
        max_at_once: nodes.min(1).default(1),
        cooldown_s: seconds().default(60),
      })
      .prefault({}),
    fresh: z
      .strictObject({
        within_s: seconds(86_400)
          .min(1)
          .default(90)
          .describe('A sample or an answer older than this is stale.'),
        coverage_ratio: ratio
          .default(0.9)
          .describe('Below this share of GPUs with fresh samples, data is partial.'),
        ahead_s: seconds(86_400)
          .default(30)
          .describe('Data from further in the future than this means that a clock is wrong.'),
      })
      .prefault({}),
    money: z
      .strictObject({
        currency: z
          .string()
          .regex(/^[A-Z]{3}$/)
          .default('USD'),
        cost_per_gpu_hour: z
          .record(z.string(), amount)
          .default({})
          .describe('What a GPU of a model costs, used or not; "*" is any other model.'),
        max_cost_per_hour: amount.nullable().default(null).describe('The pool may never cost more an hour.'),
      })
      .prefault({}),
    approval: z
      .strictObject({
        above_nodes: nodes.nullable().default(null).describe('More nodes at once than this need a person.'),
        above_cost_per_hour: amount
          .nullable()
          .default(null)
          .describe('An addition that costs more an hour than this needs a person.'),
      })
      .prefault({}),
    node_shapes: z
      .record(z.string(), z.number().int().min(1).max(128))
      .default({})
      .describe('GPUs of a new node, by model: with it a pool without any node can grow again.'),
    substitutes: z
      .record(z.string(), z.array(z.string()))
      .default({})
      .describe('Models that may serve work that asks for a model, the best first.'),
    busy_above_ratio: ratio.default(0.02).describe('GPU utilisation above this is work, leased or not.'),
    breaker: z
      .strictObject({
        unhealthy_ratio: ratio
          .default(0.45)
          .describe('Above this share of unhealthy nodes nothing is done …'),
        floor_nodes: nodes.default(3).describe('… when there are more unhealthy nodes than this.'),
      })
      .prefault({}),
  })
  .describe('poolmeter scaling policy');

export type ScalingPolicy = z.output<typeof scalingPolicySchema>;

export const defaultScalingPolicy: ScalingPolicy = scalingPolicySchema.parse({});

export function parseScalingPolicy(source: { text: string; name: string }): ScalingPolicy {
  return parseYaml(scalingPolicySchema, source);
}

/** The digest of what the policy says with all defaults filled in: comments and key order do not change it. */
export function policyDigestOf(policy: ScalingPolicy): string {
  return digestOf(policy);
}
