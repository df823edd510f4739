/** What a contract promises about availability and what it gives when that does not hold (billing rule 7). Terms are data. */
import { z } from '@hono/zod-openapi';
import { fraction, parseFraction, times, type Fraction } from '@poolmeter/domain';

const percentText = z
  .string()
  .regex(/^(100|\d{1,2}(\.\d{1,6})?)$/, 'write a percentage in quotes, such as "99.95"');
const amountText = z.string().regex(/^\d{1,15}(\.\d{1,3})?$/, 'write an amount in quotes, such as "50.00"');
const minutesText = z.string().regex(/^\d{1,6}(\.\d{1,3})?$/, 'write minutes in quotes, such as "30"');
const codes = z.array(z.string().min(1).max(100)).min(1);

const remedySchema = z
  .strictObject({
    prorated: z.literal(true).optional().describe('The charge of the time that counts.'),
    tiers: z
      .array(z.strictObject({ uptime_below_percent: percentText, credit_percent: percentText }))
      .min(1)
      .optional()
      .describe('Of the affected charge; the lowest bound that the uptime is below decides.'),
    flat: z.strictObject({ amount: amountText, per: z.enum(['event', 'window']) }).optional(),
    goodwill: z.literal(true).optional().describe('People decide; nothing is credited by itself.'),
    undefined: z.literal(true).optional().describe('The terms promise a credit and name no amount.'),
  })
  .refine((remedy) => Object.values(remedy).filter((one) => one !== undefined).length === 1, {
    message: 'give exactly one remedy',
  });

export const slaSchema = z.strictObject({
  id: z.string().min(1).max(100),
  covers: z
    .strictObject({
      gpu_models: codes.optional(),
      pools: codes.optional(),
      pricing_modes: codes.optional().describe('Leave out spot or preview pools here.'),
    })
    .optional()
    .describe('Everything when it is left out.'),
  unit: z.enum(['gpu', 'node', 'customer']).describe('What is up or down: a GPU, a node, or all of it.'),
  down_when: z.enum(['any', 'all']).optional().describe('Of a unit of several GPUs; `any` when left out.'),
  window: z.enum(['calendar_month', 'rolling_30_days']).optional().describe('calendar_month when left out.'),
  impacts: z
    .array(z.strictObject({ impact: z.enum(['outage', 'admission_blocked', 'degraded', 'job_lost']), codes }))
    .min(1)
    .optional()
    .describe('Which incident codes count as what; every credited incident when left out.'),
  upstream_codes: codes.optional().describe('Incidents that are not ours: they do not count.'),
  threshold: z
    .strictObject({ minutes: minutesText, per: z.enum(['event', 'window']) })
    .optional()
    .describe('Strictly more than this counts.'),
  maintenance_notice_hours: z
    .int()
    .min(0)
    .optional()
    .describe('Announced maintenance is left out for its overlap when the notice was this long.'),
  clock_start: z.enum(['detection', 'notice']).optional(),
  remedy: remedySchema,
  cap_percent: percentText.optional().describe('Of the affected charge.'),
  minimum_credit: amountText.optional().describe('A smaller credit is not given.'),
  auto_credit: z.boolean().optional().describe('True when left out: credited at close, without a claim.'),
  claim: z
    .strictObject({ days: z.int().min(1), from: z.enum(['incident', 'month_end', 'billing_cycle']) })
    .optional()
    .describe('What the contract asks of the customer; shown, and not needed for an automatic credit.'),
  apply_within_days: z.int().min(1).optional(),
  target_percent: percentText.optional(),
});

export type SlaEntry = z.output<typeof slaSchema>;

interface UptimeTier {
  readonly below: Fraction;
  readonly credit: Fraction;
}

type SlaRemedy =
  | { readonly kind: 'prorated' | 'goodwill' | 'undefined' }
  | { readonly kind: 'tiers'; readonly tiers: readonly UptimeTier[] }
  | { readonly kind: 'flat'; readonly amount: string; readonly per: 'event' | 'window' };

export interface SlaTerms {
  readonly id: string;
  /** As it was written. */
  readonly entry: SlaEntry;
  readonly remedy: SlaRemedy;
  /** Strictly more than this many milliseconds count. */
  readonly thresholdMs: Fraction | undefined;
  readonly noticeMs: number | undefined;
  /** Of the affected charge, at most 1. */
  readonly cap: Fraction;
}

const HOUR_MS = 3_600_000;
const PERCENT = fraction(1n, 100n);

export function slaTermsFrom(entry: SlaEntry): SlaTerms {
  return {
    id: entry.id,
    entry,
    remedy: remedyFrom(entry),
    thresholdMs:
      entry.threshold === undefined
        ? undefined
        : times(parseFraction(entry.threshold.minutes), fraction(60_000n)),
    noticeMs:
      entry.maintenance_notice_hours === undefined ? undefined : entry.maintenance_notice_hours * HOUR_MS,
    cap: times(parseFraction(entry.cap_percent ?? '100'), PERCENT),
  };
}

function remedyFrom({ remedy }: SlaEntry): SlaRemedy {
  if (remedy.tiers !== undefined) {
    const tiers = remedy.tiers.map((tier) => ({
      below: times(parseFraction(tier.uptime_below_percent), PERCENT),
      credit: times(parseFraction(tier.credit_percent), PERCENT),
    }));
    return { kind: 'tiers', tiers };
  }
  if (remedy.flat !== undefined) return { kind: 'flat', ...remedy.flat };
  if (remedy.prorated === true) return { kind: 'prorated' };
  return { kind: remedy.goodwill === true ? 'goodwill' : 'undefined' };
}
