/** The shape of a fault policy: which evidence means which fault, who is to blame, what it costs, how it clears. */
import { parseDurationMs } from '@poolmeter/service';
import { z } from 'zod';

const duration = z
  .string()
  .regex(/^\d{1,12}(ms|s|m|h|d)$/, 'write a duration with its unit, such as 90s, 5m or 24h')
  .transform((text) => parseDurationMs(text) ?? Number.NaN)
  .meta({ description: 'A number and its unit: ms, s, m, h or d.' });

const faultCode = z
  .string()
  .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'write lower-case words joined by hyphens, such as xid-79')
  .meta({ description: 'The incident code; its runbook is docs/runbooks/<code>.md.' });

const pattern = z
  .string()
  .min(1)
  .refine((text) => isPattern(text), 'is not a regular expression')
  .meta({ description: 'A regular expression that the raw line must match.' });

const eventCondition = z.strictObject({
  event: z.enum(['xid', 'sxid', 'gpu.fallen_off_bus', 'driver.restarted', 'counter.reset']),
  codes: z.array(z.int().min(0)).min(1).optional().meta({ description: 'Absent: every code of this kind.' }),
  message: pattern.optional(),
});

const gpuLostCondition = z.strictObject({
  telemetry: z.literal('gpu_lost'),
  after: duration.meta({ description: 'How long samples may be absent while the node is seen.' }),
});

const nodeSilentCondition = z.strictObject({
  telemetry: z.literal('node_silent'),
  after: duration.meta({ description: 'How long no GPU of a node may give a sample.' }),
});

const hotCondition = z.strictObject({
  telemetry: z.literal('hot'),
  at_least_celsius: z.int().min(1).max(254),
  for: duration,
  rejoin: duration.meta({ description: 'Two stretches closer than this are one.' }),
});

const idleCondition = z.strictObject({
  telemetry: z.literal('idle_leased'),
  active_below_ratio: z.number().gt(0).lt(1),
  memory_at_least_bytes: z.int().min(0).meta({ description: 'Memory that the tenant holds while idle.' }),
  for: duration,
  rejoin: duration,
});

/** Conditions in the order in which they are tried; the first that matches an event decides. */
const condition = z.union([
  eventCondition,
  gpuLostCondition,
  nodeSilentCondition,
  hotCondition,
  idleCondition,
]);

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
]);

const followRule = z.strictObject({
  codes: z.union([z.literal('any'), z.array(faultCode).min(1)]),
  within: duration.meta({ description: 'How far apart cause and consequence may be, either way round.' }),
  while_open: z
    .boolean()
    .default(false)
    .meta({ description: 'Also joins its cause at any later time while that is open.' }),
});

const fault = z.strictObject({
  code: faultCode,
  title: z.string().min(1).meta({ description: '{code} stands for the number of the event.' }),
  when: condition,
  scope: z.enum(['gpu', 'node']).default('gpu'),
  severity: z.enum(['info', 'warn', 'critical', 'fatal']),
  action: z.enum(['none', 'restart_app', 'reset', 'drain_and_reset', 'reboot', 'inspect', 'notify', 'obey']),
  blame: z.enum(['hardware', 'application', 'unknown']),
  billing_class: z.enum(['B', 'C', 'H']).meta({ description: 'B billable, C credited, H held.' }),
  health: z
    .enum(['faulty', 'lost', 'unknown', 'unaffected'])
    .meta({ description: 'What the GPU counts as while the incident is open.' }),
  clear: clearCondition,
  follows: followRule.optional().meta({ description: 'Causes whose incident this evidence joins.' }),
  source: z.url().meta({ description: 'Where the meaning and the action are documented.' }),
  note: z.string().min(1).optional(),
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
    }),
    recovery_signs: z.array(eventCondition).min(1).meta({
      description: 'Events that show a reset. A new boot and a GPU that was away show one by themselves.',
    }),
    ignored: z
      .array(eventCondition.extend({ reason: z.string().min(1) }))
      .meta({ description: 'Events that are no fault.' }),
    faults: z.array(fault).min(1),
  })
  .superRefine((policy, context) => {
    for (const issue of inconsistencies(policy.faults)) context.addIssue({ code: 'custom', ...issue });
  });

export type FaultPolicy = z.output<typeof faultPolicySchema>;
export type Fault = z.output<typeof fault>;
export type EventCondition = z.output<typeof eventCondition>;
export type BillingClass = Fault['billing_class'];
export type Blame = Fault['blame'];
export type Severity = Fault['severity'];

type TelemetryCondition = Exclude<Fault['when'], EventCondition>;
export type TelemetryRule = TelemetryCondition['telemetry'];

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

function isPattern(text: string): boolean {
  try {
    return new RegExp(text).source !== '';
  } catch {
    return false;
  }
}

interface Inconsistency {
  readonly path: (string | number)[];
  readonly message: string;
}

function inconsistencies(faults: readonly z.output<typeof fault>[]): Inconsistency[] {
  const codes = faults.map((one) => one.code);
  const found: Inconsistency[] = [];
  faults.forEach((one, index) => {
    if (codes.indexOf(one.code) !== index) {
      found.push({ path: ['faults', index, 'code'], message: `${one.code} is listed twice` });
    }
    const causes = one.follows === undefined || one.follows.codes === 'any' ? [] : one.follows.codes;
    causes.forEach((cause, place) => {
      if (codes.includes(cause)) return;
      found.push({
        path: ['faults', index, 'follows', 'codes', place],
        message: `${cause} is not a fault here`,
      });
    });
    if (one.clear.by === 'signal' && !('telemetry' in one.when)) {
      found.push({ path: ['faults', index, 'clear', 'by'], message: 'signal needs a telemetry condition' });
    }
  });
  return found;
}
