/** The range of time that is shown, and how finely. */

export const ranges = [
  { id: '1h', label: '1 h', ms: 3_600_000 },
  { id: '6h', label: '6 h', ms: 21_600_000 },
  { id: '24h', label: '24 h', ms: 86_400_000 },
  { id: '7d', label: '7 d', ms: 604_800_000 },
] as const;

export type RangeId = (typeof ranges)[number]['id'];

export function rangeMs(id: RangeId): number {
  return ranges.find((range) => range.id === id)?.ms ?? 3_600_000;
}

export function rangeFromText(text: string | null): RangeId {
  return ranges.find((range) => range.id === text)?.id ?? '1h';
}

const STEPS_S = [10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600] as const;
const POINTS = 240;

/** About as many points as a panel has room for, at a distance that divides an hour or a day. */
export function intervalFor(spanMs: number): number {
  const wanted = spanMs / POINTS / 1_000;
  return (STEPS_S.find((step) => step >= wanted) ?? 21_600) * 1_000;
}
