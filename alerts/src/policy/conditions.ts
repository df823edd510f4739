/** When a fault is there: by an event, by events that come again, by samples that stop, by samples that look wrong. */
import { parseDurationMs } from '@poolmeter/service';
import { z } from 'zod';
import { signalNames, signals } from './signals.js';

export const duration = z
  .string()
  .regex(/^\d{1,12}(ms|s|m|h|d)$/, 'write a duration with its unit, such as 90s, 5m or 24h')
  .transform((text) => parseDurationMs(text) ?? Number.NaN)
  .meta({ description: 'A number and its unit: ms, s, m, h or d.' });

export const faultCode = z
  .string()
  .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'write lower-case words joined by hyphens, such as xid-79')
  .meta({ description: 'The incident code; its runbook is docs/runbooks/<code>.md.' });

const pattern = z
  .string()
  .min(1)
  .refine((text) => isPattern(text), 'is not a regular expression')
  .meta({ description: 'A regular expression that the raw line must match.' });

export const nvlinkResponses = ['reset', 'follow_driver', 'none'] as const;

export const eventCondition = z.strictObject({
  event: z.enum([
    'xid',
    'sxid',
    'gpu.fallen_off_bus',
    'driver.restarted',
    'counter.reset',
    'source.partial',
    'provider.foreign_node',
  ]),
  codes: z.array(z.int().min(0)).min(1).optional().meta({ description: 'Absent: every code of this kind.' }),
  message: pattern.optional(),
  detail: z
    .record(z.string(), z.array(z.union([z.string(), z.number()])).min(1))
    .optional()
    .meta({ description: 'Values that the named details of the event may have.' }),
  nvlink: z
    .enum(nvlinkResponses)
    .optional()
    .meta({ description: 'What the decoding of an NVLink 5 line (Xid 144 to 150) asks for.' }),
});

const repeatRule = z.strictObject({
  of: z.array(faultCode).min(1).meta({ description: 'Faults whose evidence is counted.' }),
  at_least: z.int().min(2).meta({ description: 'Bursts.' }),
  within: duration,
  apart: duration.meta({ description: 'Closer lines are one burst.' }),
  same: z
    .array(z.string().min(1))
    .default([])
    .meta({ description: 'Details of the events that have to be equal; "code" is the number itself.' }),
  different_jobs: z
    .boolean()
    .default(false)
    .meta({ description: 'Bursts of one job, or of one process, count once.' }),
  not_elsewhere: z.boolean().default(false).meta({
    description: 'Says nothing while other GPUs of the node show the same: then the program is to blame.',
  }),
});

const repeatsCondition = z.strictObject({
  repeats: z.array(repeatRule).min(1).meta({ description: 'Any of these rules is enough.' }),
});

const gpuLostCondition = z.strictObject({
  telemetry: z.literal('gpu_lost'),
  after: duration.meta({ description: 'How long samples may be absent while the node is seen.' }),
});

const nodeSilentCondition = z.strictObject({
  telemetry: z.literal('node_silent'),
  after: duration.meta({ description: 'How long no GPU of a node may give a sample.' }),
});

const signalCondition = z
  .strictObject({
    signal: z.enum(signalNames),
    at_least: z.number().optional(),
    below: z.number().optional(),
    for: duration.meta({ description: 'How long it has to last.' }),
    rejoin: duration.meta({ description: 'Two stretches closer than this are one.' }),
    while_leased: z.boolean().default(false).meta({ description: 'Counts only within one lease.' }),
    memory_at_least_bytes: z
      .int()
      .min(0)
      .optional()
      .meta({ description: 'For activity_ratio: memory in use without which an idle GPU means nothing.' }),
  })
  .superRefine((condition, context) => {
    const { bad } = signals[condition.signal];
    if (condition[bad] === undefined || condition[other(bad)] !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['signal'],
        message: `${condition.signal} takes the limit ${bad}`,
      });
    }
  });

/** Conditions on events are tried in the order of the faults; the first that fits decides. */
export const condition = z.union([
  eventCondition,
  repeatsCondition,
  gpuLostCondition,
  nodeSilentCondition,
  signalCondition,
]);

export type EventCondition = z.output<typeof eventCondition>;
export type RepeatRule = z.output<typeof repeatRule>;
export type SignalCondition = z.output<typeof signalCondition>;
export type Condition = z.output<typeof condition>;

/** The value that a signal must reach, or fall below, to be bad. */
export function limitOf(of: SignalCondition): number {
  return of[signals[of.signal].bad] ?? Number.NaN;
}

function other(bad: 'at_least' | 'below'): 'at_least' | 'below' {
  return bad === 'below' ? 'at_least' : 'below';
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text).source !== '';
  } catch {
    return false;
  }
}
