/** The kinds of values that settings have: durations with a unit, lists, ports, switches, secrets. */
import { z } from 'zod';

const DURATION = /^(\d{1,12})(ms|s|m|h|d)$/;
const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `250ms`, `10s`, `5m`, `1h` or `7d`; undefined for anything else, a bare number included. */
export function parseDurationMs(text: string): number | undefined {
  const [, digits, unit] = DURATION.exec(text.trim()) ?? [];
  const factor = MS_PER_UNIT[unit ?? ''];
  const ms = digits === undefined || factor === undefined ? Number.NaN : Number(digits) * factor;
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that `parseDurationMs` reads back: 90 000 is `90s`, 300 000 is `5m`. */
export function formatDurationMs(ms: number): string {
  const unit = ['d', 'h', 'm', 's'].find((one) => ms > 0 && ms % (MS_PER_UNIT[one] ?? 1) === 0) ?? 'ms';
  return `${ms / (MS_PER_UNIT[unit] ?? 1)}${unit}`;
}

/**
 * A duration with its unit (`10s`), as milliseconds. Its variable's name carries no unit: the key `scrapeIntervalMs`
 * is read from `…_SCRAPE_INTERVAL`. Defaults are numbers of milliseconds: `durationMs.default(10_000)`.
 */
export const durationMs = z
  .string()
  .transform((text, context) => {
    const ms = parseDurationMs(text);
    if (ms !== undefined) return ms;
    context.addIssue({
      code: 'custom',
      message: 'write a duration with its unit, such as 250ms, 10s, 5m, 1h or 7d',
    });
    return z.NEVER;
  })
  .meta({ setting: 'duration' });

/** Items separated by commas, or a list in a file; empty items are dropped. */
export const textList = z
  .union([z.string(), z.array(z.string())])
  .transform((value) =>
    (typeof value === 'string' ? value.split(',') : value)
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  )
  .meta({ setting: 'list' });

/** A whole number written with digits only: `Number('')` is 0 and `Number('1e3')` is 1000, and neither was meant. */
export const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'write a whole number')
  .transform(Number);

/** A TCP port; 0 takes any free one. */
export const portNumber = wholeNumber.refine((port) => port <= 65_535, 'write a port between 0 and 65535');

/** An address that can be called, so that a wrong one is told at the start and not at the first call. */
export const httpAddress = z.url({ protocol: /^https?$/, error: 'write an http(s) address' });

/** `true`/`false`, `yes`/`no`, `on`/`off`, `1`/`0`. Coerced booleans would read `false` as true. */
export const flag = z.stringbool();

/** Text that is never printed, and that may come from a file named by `NAME_FILE`. */
export const secretText = z.string().min(1).meta({ secret: true });
