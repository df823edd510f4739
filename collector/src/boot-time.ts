/** What is known of the boots that a log's lines counted from. Plain JSON. */
export interface BootState {
  /** How many times the kernel was seen to start anew. */
  readonly boots: number;
  /** The last stamp since boot, in microseconds; '-1' before the first. */
  readonly lastMicroseconds: string;
  /** When the present boot began, epoch milliseconds: the earliest of the estimates; null before the first. */
  readonly bootedAtMs: number | null;
}

export const NO_BOOT: BootState = { boots: 0, lastMicroseconds: '-1', bootedAtMs: null };

/** Stamps of different processors are not quite in order; a fall by more than this is a new boot. */
const REORDER_MICROSECONDS = 10_000_000n;

export interface DatedStamp {
  readonly boot: number;
  readonly ms: number;
}

/**
 * Dates stamps that count from boot. The last of them was written by `writtenByMs` at the latest, so that its boot
 * began by then minus the stamp; an earlier boot among them ended by the time the next one began.
 */
export function dateBootStamps(
  before: BootState,
  stamps: readonly bigint[],
  writtenByMs: number,
): { readonly dated: readonly DatedStamp[]; readonly after: BootState } {
  let last = BigInt(before.lastMicroseconds);
  let boot = before.boots;
  const boots = stamps.map((stamp) => {
    if (stamp + REORDER_MICROSECONDS < last) boot += 1;
    last = stamp;
    return boot;
  });
  const beganAtMs = new Map<number, number>();
  let endedByMs = writtenByMs;
  for (let index = stamps.length - 1; index >= 0; index -= 1) {
    const of = boots[index] ?? boot;
    const sinceBootMs = millisecondsOf(stamps[index] ?? 0n);
    const estimateMs = endedByMs - sinceBootMs;
    const known = beganAtMs.get(of) ?? (of === before.boots ? (before.bootedAtMs ?? Infinity) : Infinity);
    beganAtMs.set(of, Math.min(known, estimateMs));
    if (boots[index - 1] !== of) endedByMs = beganAtMs.get(of) ?? endedByMs;
  }
  const dated = stamps.map((stamp, index) => {
    const of = boots[index] ?? boot;
    return { boot: of, ms: Math.floor((beganAtMs.get(of) ?? writtenByMs) + millisecondsOf(stamp)) };
  });
  const after = {
    boots: boot,
    lastMicroseconds: last.toString(),
    bootedAtMs: beganAtMs.get(boot) ?? before.bootedAtMs,
  };
  return { dated, after: stamps.length === 0 ? before : after };
}

function millisecondsOf(microseconds: bigint): number {
  return Number(microseconds / 1000n);
}
