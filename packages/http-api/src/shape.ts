/** The value shapes that all routes share: money, instants, GPU time. */
import { z } from '@hono/zod-openapi';
import { messageOf, Money, parseInstant, type EpochMs } from '@poolmeter/domain';

/** Money on the wire. Amounts are strings: a JSON number would lose cents. */
export const moneySchema = z
  .object({
    amount: z.string().openapi({ example: '12.34' }),
    currency: z.string().openapi({ example: 'USD' }),
  })
  .openapi('Money');

/** Money in a request, checked and exact. */
export const moneyInput = moneySchema.transform((value, context): Money => {
  try {
    return Money.of(value.amount, value.currency);
  } catch (fault) {
    context.addIssue({ code: 'custom', message: messageOf(fault) });
    return z.NEVER;
  }
});

/** An instant in an answer. */
export const instantSchema = z.string().openapi({ format: 'date-time', example: '2026-03-01T00:00:00Z' });

/** An instant in a request, as epoch milliseconds. */
export const instantInput = z
  .string()
  .openapi({ format: 'date-time', example: '2026-03-01T00:00:00Z' })
  .transform((text, context): EpochMs => {
    try {
      return parseInstant(text);
    } catch (fault) {
      context.addIssue({ code: 'custom', message: messageOf(fault) });
      return z.NEVER;
    }
  });

/** GPU time: exact milliseconds (an integer or a fraction such as `3600000/7`) and hours rounded to 9 places. */
export const gpuTimeSchema = z.object({
  gpu_ms: z.string().openapi({ example: '3600000' }),
  gpu_hours: z.string().openapi({ example: '1.000000000' }),
});
