/** A rate as files and the API write it, and as it is stored. */
import { z } from '@hono/zod-openapi';
import { compare, parseFraction, ZERO } from '@poolmeter/domain';
import { checkZone } from '../invoicing/period.js';
import type { PriceShape, PriceTier, TimeWindow } from './price-shape.js';

/** Rates have up to 9 decimals (billing rule 10) and are never negative. */
const amountText = z
  .string()
  .regex(/^\d{1,15}(\.\d{1,9})?$/, 'write digits in quotes, such as "2.50", with at most 9 decimals');

const hoursText = z.string().regex(/^\d{1,12}(\.\d{1,9})?$/, 'write GPU-hours in quotes, such as "100"');

const matchText = z.string().min(1).max(200);

const tierSchema = z.strictObject({
  up_to_gpu_hours: hoursText.optional().describe('The last tier leaves this out.'),
  per_gpu_hour: amountText,
});

const clockText = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'write a time such as "08:00"');
const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

const windowSchema = z
  .strictObject({
    name: z.string().min(1).max(100),
    days: z.array(z.enum(days)).min(1).optional().describe('All days when it is left out.'),
    from: clockText,
    to: clockText.describe('Exclusive; before `from`: over midnight.'),
    per_gpu_hour: amountText,
  })
  .refine((window) => window.from !== window.to && window.from !== '24:00', 'must last some time');

const timeOfUseSchema = z.strictObject({
  zone: z.string().min(1).max(100).describe('IANA zone of the clock.'),
  per_gpu_hour: amountText.describe('Outside of all windows.'),
  windows: z.array(windowSchema).min(1).max(50).describe('The first that fits wins.'),
});

export const rateSchema = z
  .strictObject({
    gpu_model: matchText.default('*').describe('Exactly as the exporter names it, or "*".'),
    pool: matchText.default('*'),
    pricing_mode: z.enum(['on_demand', 'reserved', 'spot', '*']).default('*'),
    per_gpu_hour: amountText.optional().describe('Flat: every GPU-hour costs this.'),
    graduated: z.array(tierSchema).min(1).optional().describe('Each hour costs what its own tier says.'),
    volume: z.array(tierSchema).min(1).optional().describe('All hours cost what the tier of the total says.'),
    time_of_use: timeOfUseSchema.optional().describe('The price depends on the hour of the day.'),
    committed: z
      .strictObject({ gpu_hours: hoursText, per_gpu_hour: amountText, burst_per_gpu_hour: amountText })
      .optional()
      .describe('Hours per period, due whether used or not, and the rate beyond them. Contracts only.'),
  })
  .superRefine((rate, context) => {
    const shapes = ['per_gpu_hour', 'graduated', 'volume', 'time_of_use', 'committed'] as const;
    const given = shapes.filter((shape) => rate[shape] !== undefined);
    if (given.length !== 1) {
      context.addIssue({ code: 'custom', message: `give exactly one of ${shapes.join(', ')}` });
    }
    const tiers = rate.graduated ?? rate.volume;
    const fault = tiers === undefined ? undefined : tierFault(tiers);
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
  });

export type RateJson = z.output<typeof rateSchema>;
type TierJson = z.output<typeof tierSchema>;

function tierFault(tiers: readonly TierJson[]): string | undefined {
  if (tiers.at(-1)?.up_to_gpu_hours !== undefined)
    return 'the last tier must be open: leave out its up_to_gpu_hours';
  const bounds = tiers.slice(0, -1).map((tier) => tier.up_to_gpu_hours);
  if (bounds.includes(undefined)) return 'only the last tier may leave out up_to_gpu_hours';
  const values = bounds.map((bound) => parseFraction(bound ?? '0'));
  const grows = values.every((value, index) => compare(value, values[index - 1] ?? ZERO) > 0);
  return grows ? undefined : 'up_to_gpu_hours must grow from tier to tier';
}

/** The shape of a rate that passed the schema. */
export function parseShape(rate: RateJson): PriceShape {
  if (rate.per_gpu_hour !== undefined) return { kind: 'flat', perGpuHour: parseFraction(rate.per_gpu_hour) };
  if (rate.graduated !== undefined) return { kind: 'graduated', tiers: rate.graduated.map(parseTier) };
  if (rate.volume !== undefined) return { kind: 'volume', tiers: rate.volume.map(parseTier) };
  if (rate.time_of_use !== undefined) return parseTimeOfUse(rate.time_of_use);
  if (rate.committed === undefined) throw new Error('A rate without a shape passed its schema.');
  return {
    kind: 'committed_hours',
    gpuHours: parseFraction(rate.committed.gpu_hours),
    perGpuHour: parseFraction(rate.committed.per_gpu_hour),
    burstPerGpuHour: parseFraction(rate.committed.burst_per_gpu_hour),
  };
}

function parseTimeOfUse(price: z.output<typeof timeOfUseSchema>): PriceShape {
  checkZone(price.zone);
  return {
    kind: 'time_of_use',
    zone: price.zone,
    perGpuHour: parseFraction(price.per_gpu_hour),
    unitPrice: price.per_gpu_hour,
    windows: price.windows.map((window): TimeWindow => ({
      name: window.name,
      days: new Set((window.days ?? days).map((day) => days.indexOf(day) + 1)),
      fromMinute: minuteOf(window.from),
      toMinute: minuteOf(window.to),
      perGpuHour: parseFraction(window.per_gpu_hour),
      unitPrice: window.per_gpu_hour,
    })),
  };
}

function minuteOf(clock: string): number {
  return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
}

function parseTier(tier: TierJson): PriceTier {
  return {
    upToGpuHours: tier.up_to_gpu_hours === undefined ? undefined : parseFraction(tier.up_to_gpu_hours),
    perGpuHour: parseFraction(tier.per_gpu_hour),
  };
}

/** Without absent keys, so that digests do not depend on how absence is written. */
export function rateToJson(rate: RateJson): Record<string, unknown> {
  return JSON.parse(JSON.stringify(rate)) as Record<string, unknown>;
}
