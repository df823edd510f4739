import type { FieldUnit } from './field-catalogue.js';

/**
 * DCGM's sentinels for "no value": blank, not found, not supported, not permitted. Exporters should drop them; older
 * ones print them. The int64 ones (0x7ffffffffffffff0 to …3) all read as the same double, 2⁶³.
 */
const INT32_BLANK = 0x7ffffff0;
const INT64_BLANK = 2 ** 63;
const FP64_BLANK = 140_737_488_355_328;
const SENTINEL_COUNT = 4;

/** Units in which 2³¹ is an ordinary value, so that the 32-bit sentinels say nothing. */
const REACHES_INT32: ReadonlySet<FieldUnit> = new Set(['millijoules', 'nanoseconds', 'bytes/s']);

export function isBlank(value: number, unit: FieldUnit): boolean {
  if (!Number.isFinite(value) || value >= INT64_BLANK) return true;
  if (value >= FP64_BLANK && value < FP64_BLANK + SENTINEL_COUNT) return true;
  return value >= INT32_BLANK && value < INT32_BLANK + SENTINEL_COUNT && !REACHES_INT32.has(unit);
}

/** The string sentinels that older exporters print as the value. */
const BLANK_TEXTS: ReadonlySet<string> = new Set([
  '<<<NULL>>>',
  '<<<NOT FOUND>>>',
  '<<<NOT SUPPORTED>>>',
  '<<<NOT PERMISSIONED>>>',
  'N/A',
]);

export function isBlankText(text: string): boolean {
  return BLANK_TEXTS.has(text);
}
