/** Which prepaid money settles an invoice: by priority, then what expires first, then what was there first. Pure. */
import type { EpochMs, Money } from '@poolmeter/domain';

export interface WalletGrant {
  readonly grantId: string;
  readonly left: Money;
  readonly kind: 'paid' | 'promotional';
  readonly priority: number;
  readonly effectiveFrom: EpochMs;
  readonly expiresAt: EpochMs | undefined;
}

export interface WalletDraw {
  readonly grantId: string;
  readonly kind: WalletGrant['kind'];
  readonly amount: Money;
}

/** Takes as much of `due` as usable grants hold; never more, and nothing when nothing is due. */
export function drawWallet(grants: readonly WalletGrant[], due: Money, at: EpochMs): WalletDraw[] {
  const usable = grants
    .filter((grant) => grant.left.currency === due.currency && isUsable(grant, at))
    .toSorted(inOrderOfUse);
  const draws: WalletDraw[] = [];
  let open = due;
  for (const { grantId, kind, left } of usable) {
    if (open.isZero() || open.isNegative()) break;
    const amount = left.compare(open) < 0 ? left : open;
    draws.push({ grantId, kind, amount });
    open = open.minus(amount);
  }
  return draws;
}

function isUsable({ left, effectiveFrom, expiresAt }: WalletGrant, at: EpochMs): boolean {
  const inTime = effectiveFrom <= at && (expiresAt === undefined || expiresAt > at);
  return inTime && !left.isZero() && !left.isNegative();
}

function inOrderOfUse(a: WalletGrant, b: WalletGrant): number {
  const [endA, endB] = [a.expiresAt ?? Number.POSITIVE_INFINITY, b.expiresAt ?? Number.POSITIVE_INFINITY];
  if (a.priority !== b.priority) return a.priority - b.priority;
  if (endA !== endB) return endA - endB;
  return a.effectiveFrom - b.effectiveFrom || (a.grantId < b.grantId ? -1 : 1);
}
