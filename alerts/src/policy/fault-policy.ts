/** The shape of a fault policy: which evidence means which fault, who is to blame, what it costs, how it clears. */
import { z } from 'zod';
import {
  condition,
  duration,
  eventCondition,
  faultCode,
  nvlinkResponses,
  type Condition,
} from './conditions.js';
import { inconsistencies } from './policy-consistency.js';

const healthyFor = duration.meta({
  description: 'Healthy telemetry without a gap that proves the recovery.',
});

const clearCondition = z.discriminatedUnion('by', [
  z
    .strictObject({ by: z.literal('reset'), healthy_for: healthyFor })
    .meta({ description: 'A sign of a reset after the last evidence, then healthy telemetry.' }),
  z
    .strictObject({ by: z.literal('return'), healthy_for: healthyFor })
    .meta({ description: 'The GPU was away from telemetry (or reset) and came back healthy.' }),
  z
    .strictObject({ by: z.literal('healthy'), healthy_for: healthyFor })
    .meta({ description: 'Healthy telemetry after the last evidence; no reset is needed.' }),
  z
    .strictObject({ by: z.literal('expiry'), after: duration })
    .meta({ description: 'Ends by itself so long after the last evidence.' }),
  z
    .strictObject({ by: z.literal('signal') })
    .meta({ description: 'Ends when the condition itself no longer holds.' }),
  z.strictObject({ by: z.literal('operator') }).meta({
    description:
      'Sticky: nothing that telemetry says ends it, only an operator or another board in its place.',
  }),
]);

const followRule = z.strictObject({
  codes: z.union([z.literal('any'), z.array(faultCode).min(1)]),
  within: duration.meta({ description: 'How far apart cause and consequence may be, either way round.' }),
  while_open: z
    .boolean()
    .default(false)
    .meta({ description: 'Also joins its cause at any later time while that is open.' }),
});

const severity = z.enum(['info', 'warn', 'critical', 'fatal']);
const actions = [
  'none',
  'restart_app',
  'restart_fabric_manager',
  'reset',
  'drain_and_reset',
  'drain_p2p',
  'reboot',
  'inspect',
  'replace',
  'notify',
  'obey',
] as const;
const action = z.enum(actions);
const blame = z.enum(['hardware', 'application', 'unknown']);
const billingClass = z.enum(['B', 'C', 'H']).meta({ description: 'B billable, C credited, H held.' });
const health = z
  .enum(['faulty', 'lost', 'unknown', 'unaffected'])
  .meta({ description: 'What the GPU counts as while the incident is open.' });

const fault = z.strictObject({
  code: faultCode,
  title: z.string().min(1).meta({ description: '{code} stands for the number of the event.' }),
  when: condition,
  scope: z.enum(['gpu', 'node']).default('gpu'),
  each_code: z.boolean().default(false).meta({
    description: 'Each number is an incident of its own; so it is anyway where no numbers are listed.',
  }),
  severity,
  action: action.meta({ description: 'obey: what the driver asks for in the evidence itself.' }),
  blame,
  billing_class: billingClass,
  health,
  clear: clearCondition,
  follows: followRule.optional().meta({ description: 'Causes whose incident this evidence joins.' }),
  spread: z
    .strictObject({ at_least: z.int().min(2), within: duration })
    .optional()
    .meta({ description: 'On so many GPUs of one node so close together it is one incident with its GPUs.' }),
  worsens: z
    .strictObject({ after: duration, severity })
    .optional()
    .meta({ description: 'The severity of an incident that has been open for so long.' }),
  source: z.url().meta({ description: 'Where the meaning and the action are documented.' }),
  note: z.string().min(1).optional(),
});

const poolOverride = z.strictObject({
  match: z.array(z.string().min(1)).min(1).meta({ description: 'Names of pools; * stands for any letters.' }),
  faults: z
    .array(
      z.strictObject({
        code: faultCode,
        off: z.boolean().default(false).meta({ description: 'True: no fault in these pools.' }),
        severity: severity.optional(),
        action: action.optional(),
        blame: blame.optional(),
        billing_class: billingClass.optional(),
        health: health.optional(),
        clear: clearCondition.optional(),
        limit: z.number().optional().meta({ description: 'The limit of a signal.' }),
        for: duration.optional().meta({ description: 'How long a signal has to last.' }),
        after: duration.optional().meta({ description: 'How long samples may be absent.' }),
      }),
    )
    .min(1),
});

const bits = z.array(z.int().min(0).max(0xffff_ffff)).default([]);

const nvlinkRule = z.strictObject({
  units: z
    .array(z.string().regex(/^[A-Z][A-Z0-9_]*$/))
    .min(1)
    .meta({ description: 'As the line names them.' }),
  always: z.enum(nvlinkResponses).optional(),
  reset_bits: bits.meta({ description: 'Bits of the error status that ask for a reset.' }),
  follow_driver_bits: bits.meta({
    description: 'Bits that leave it to Xid 154; without one, restart the program.',
  }),
  reset_values: bits.meta({ description: 'Whole values of the error status that ask for a reset.' }),
  quiet_reasons: bits.meta({
    description: 'Reasons (bits 20 to 25 of the first word) that ask for nothing.',
  }),
});

export const faultPolicySchema = z
  .strictObject({
    version: z
      .string()
      .regex(/^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$/)
      .meta({ description: 'Stored on every incident and verdict; a changed policy needs a new one.' }),
    title: z.string().min(1),
    telemetry: z.strictObject({
      proof_gap: duration.meta({
        description: 'A longer pause between samples interrupts a proof of health.',
      }),
    }),
    folding: z.strictObject({
      burst_gap: duration.meta({ description: 'Consequences closer than this belong to one burst.' }),
      flapping: z
        .strictObject({ times: z.int().min(2), within: duration, quiet_for: duration })
        .optional()
        .meta({
          description: 'A fault that comes so often stays one incident until it has been quiet for so long.',
        }),
    }),
    recovery_signs: z.array(eventCondition).min(1).meta({
      description: 'Events that show a reset. A new boot and a GPU that was away show one by themselves.',
    }),
    ignored: z
      .array(eventCondition.extend({ reason: z.string().min(1) }))
      .meta({ description: 'Events that are no fault.' }),
    nvlink: z
      .array(nvlinkRule)
      .default([])
      .meta({ description: 'How NVLink 5 lines (Xid 144 to 150) are decoded.' }),
    faults: z.array(fault).min(1),
    pools: z
      .array(poolOverride)
      .default([])
      .meta({ description: 'What is different in some pools; the first match counts.' }),
  })
  .superRefine((policy, context) => {
    for (const issue of inconsistencies(policy)) context.addIssue({ code: 'custom', ...issue });
  });

export type FaultPolicy = z.output<typeof faultPolicySchema>;
export type Fault = z.output<typeof fault>;
export type PoolOverride = z.output<typeof poolOverride>;
export type NvlinkRule = z.output<typeof nvlinkRule>;
export type BillingClass = Fault['billing_class'];
export type Blame = Fault['blame'];
export type Severity = Fault['severity'];
export type Action = Fault['action'];

type TelemetryCondition = Extract<Condition, { telemetry: string }>;
type TelemetryRule = TelemetryCondition['telemetry'];

/** The fault of one telemetry rule with its condition, or undefined where the policy has no such rule. */
export function telemetryFault<Rule extends TelemetryRule>(policy: FaultPolicy, rule: Rule) {
  for (const one of policy.faults) {
    if ('telemetry' in one.when && one.when.telemetry === rule) {
      return { fault: one, when: one.when as Extract<TelemetryCondition, { telemetry: Rule }> };
    }
  }
  return undefined;
}

/** The JSON Schema that docs/schemas/fault-policy.schema.json holds. */
export function faultPolicyJsonSchema(): unknown {
  return {
    title: 'poolmeter fault policy',
    ...z.toJSONSchema(faultPolicySchema, { io: 'input', target: 'draft-2020-12' }),
  };
}
