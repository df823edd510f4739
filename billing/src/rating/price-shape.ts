/** The shapes that a price can have. Each is a value; the function that rates it stands in a file of its own name. */
import type { Fraction } from '@poolmeter/domain';

export interface FlatPrice {
  readonly kind: 'flat';
  readonly perGpuHour: Fraction;
}

/** A tier ends at `upToGpuHours`; the last one is open. */
export interface PriceTier {
  readonly upToGpuHours: Fraction | undefined;
  readonly perGpuHour: Fraction;
}

/** Each hour costs what its own tier says. */
export interface GraduatedPrice {
  readonly kind: 'graduated';
  readonly tiers: readonly PriceTier[];
}

/** All hours cost what the tier says that the total falls into. */
export interface VolumePrice {
  readonly kind: 'volume';
  readonly tiers: readonly PriceTier[];
}

/** Hours bought beforehand, used or not, and a rate for those beyond. */
export interface CommittedHoursPrice {
  readonly kind: 'committed_hours';
  readonly gpuHours: Fraction;
  readonly perGpuHour: Fraction;
  readonly burstPerGpuHour: Fraction;
}

/** Hours of the wall clock, from a minute of the day to another; over midnight when it ends before it begins. */
export interface TimeWindow {
  readonly name: string;
  /** ISO days: 1 is Monday. */
  readonly days: ReadonlySet<number>;
  readonly fromMinute: number;
  /** Exclusive; 1440 is midnight. */
  readonly toMinute: number;
  readonly perGpuHour: Fraction;
  /** As it was written. */
  readonly unitPrice: string;
}

/** The price of the first window that an instant falls into, or the one outside of all. */
export interface TimeOfUsePrice {
  readonly kind: 'time_of_use';
  readonly zone: string;
  readonly windows: readonly TimeWindow[];
  readonly perGpuHour: Fraction;
  readonly unitPrice: string;
}

/** What usage is rated by: within a window, a time-of-use price is a flat one. */
export type RatedShape = FlatPrice | GraduatedPrice | VolumePrice | CommittedHoursPrice;

export type PriceShape = RatedShape | TimeOfUsePrice;

/** One step of a rating: so many GPU-hours at this rate. */
export interface RatedPart {
  readonly label: string;
  readonly gpuHours: Fraction;
  readonly perGpuHour: Fraction;
  readonly amount: Fraction;
}

export interface Rating {
  /** Exact: it is rounded once, when it becomes a line. */
  readonly amount: Fraction;
  readonly parts: readonly RatedPart[];
}
