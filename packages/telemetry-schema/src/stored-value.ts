import type { SampleColumn, StoredType } from './sample-columns.js';

/**
 * Activity counters are sampled, so that a saturated unit may read a little above 1. Up to this much is taken for 1;
 * more is not a measurement.
 */
const RATIO_OVERSHOOT = 1.02;

/** Ratios that come from whole percents (NVML) never overshoot: 101 % is a corrupt read. */
const PERCENT_SCALE = 100;

/**
 * The integer that is stored for a value: `round(value × scale)`. `undefined` says that the value cannot be true
 * (not finite, below the type, above the type, a ratio above 1): it is stored as missing and counted, never clamped to
 * a number that nobody measured.
 */
export function storedValue(column: SampleColumn, value: number): number | undefined {
  return storing(column)(value);
}

/** `storedValue` for one column, prepared for many values. */
export function storing(column: SampleColumn): (value: number) => number | undefined {
  const { scale } = column;
  if (column.unitColumn.endsWith('_ratio')) {
    const limit = scale === PERCENT_SCALE ? 1 : RATIO_OVERSHOOT;
    // NaN fails both comparisons.
    return (ratio) => (ratio >= 0 && ratio <= limit ? Math.round(Math.min(ratio, 1) * scale) : undefined);
  }
  const { least, most } = storedRange(column);
  return (value) => {
    const stored = Math.round(value * scale);
    return stored >= least && stored <= most ? stored : undefined;
  };
}

export interface StoredRange {
  readonly least: number;
  readonly most: number;
}

/** Above the safe integers a number is no longer exact, so that a counter there is not believed. */
const WIDEST: StoredRange = { least: 0, most: Number.MAX_SAFE_INTEGER };

const WHOLE_TYPE: Readonly<Record<StoredType, StoredRange>> = {
  UInt8: { least: 0, most: 255 },
  UInt16: { least: 0, most: 65_535 },
  UInt32: { least: 0, most: 4_294_967_295 },
  UInt64: WIDEST,
  Int8: { least: -128, most: 127 },
  'DateTime64(3)': { least: Number.MIN_SAFE_INTEGER, most: Number.MAX_SAFE_INTEGER },
  String: WIDEST,
};

/** The same types without their maximum, which means "missing". */
const BELOW_MISSING: Readonly<Record<StoredType, StoredRange>> = {
  ...WHOLE_TYPE,
  UInt8: { least: 0, most: 254 },
  UInt16: { least: 0, most: 65_534 },
  UInt32: { least: 0, most: 4_294_967_294 },
  Int8: { least: -128, most: 126 },
};

/** The smallest and largest stored integers that mean a value. */
export function storedRange(column: SampleColumn): StoredRange {
  return column.missing === undefined ? WHOLE_TYPE[column.type] : BELOW_MISSING[column.type];
}

/** The value that a stored integer stands for, in the column's unit. */
export function unitValue(column: SampleColumn, stored: number): number {
  return stored / column.scale;
}

/** The most by which storing changes a value, in the column's unit: half a step of the scale. */
export function roundingLoss(column: SampleColumn): number {
  return column.missing === undefined ? 0 : 0.5 / column.scale;
}
