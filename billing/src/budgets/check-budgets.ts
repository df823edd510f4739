/** Tells, once per month and threshold, when a customer's charges pass a part of a budget, or prepaid money runs low. */
import { compare, fraction, Money, parseFraction, times, type Clock, type EpochMs } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { sql } from 'kysely';
import type { BudgetRow } from '../correction-tables.js';
import type { BillingStore } from '../database.js';
import { readGrants } from '../wallets/wallet-store.js';

export interface BudgetAlert {
  readonly budgetId: string;
  readonly month: string;
  readonly threshold: number;
  readonly value: string;
}

/** Percentages that a value has passed: upwards for spending, downwards for what is left. */
export function passedThresholds(
  budget: Pick<BudgetRow, 'kind' | 'amount' | 'thresholds'>,
  value: Money,
): number[] {
  const amount = parseFraction(budget.amount);
  return budget.thresholds.filter((percent) => {
    const bound = times(amount, fraction(BigInt(percent), 100n));
    const against = compare(value.toFraction(), bound);
    return budget.kind === 'spend' ? against >= 0 : against <= 0;
  });
}

export async function checkBudgets(deps: {
  readonly store: BillingStore;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<BudgetAlert[]> {
  const now = deps.clock.now();
  const budgets = await deps.store.db
    .selectFrom('billing.budgets')
    .selectAll()
    .where('ended_at', 'is', null)
    .execute();
  const alerts: BudgetAlert[] = [];
  for (const budget of budgets) {
    const { month, value } = await valueOf(deps.store, budget, now);
    for (const threshold of passedThresholds(budget, value)) {
      const alert = { budgetId: budget.budget_id, month, threshold, value: value.toAmountText() };
      if (await isFirst(deps.store, alert, now)) {
        alerts.push(alert);
        deps.logger.warn({ customer_id: budget.customer_id, ...alert }, 'A budget has passed a threshold.');
      }
    }
  }
  return alerts;
}

/** Of spending: the latest draft or invoice of the month at hand. Of a wallet: what may still be used. */
async function valueOf(
  store: BillingStore,
  budget: BudgetRow,
  now: EpochMs,
): Promise<{ month: string; value: Money }> {
  const { currency, customer_id } = budget;
  const { rows } = await sql<{ month: string; total: string }>`
    SELECT month, total FROM billing.invoices
    WHERE customer_id = ${customer_id} AND status <> 'void' AND currency = ${currency}
      AND period_start <= ${new Date(now)} AND period_end > ${new Date(now)}`.execute(store.db);
  const month = rows[0]?.month ?? new Date(now).toISOString().slice(0, 7);
  if (budget.kind === 'spend') return { month, value: Money.of(rows[0]?.total ?? '0', currency) };
  const usable = (await readGrants(store.db, customer_id)).filter(
    (grant) =>
      grant.left.currency === currency &&
      grant.effectiveFrom <= now &&
      (grant.expiresAt === undefined || grant.expiresAt > now),
  );
  return {
    month,
    value: Money.sum(
      usable.map((grant) => grant.left),
      currency,
    ),
  };
}

async function isFirst(store: BillingStore, alert: BudgetAlert, now: EpochMs): Promise<boolean> {
  const inserted = await store.db
    .insertInto('billing.budget_alerts')
    .values({
      budget_id: alert.budgetId,
      month: alert.month,
      threshold: alert.threshold,
      value: alert.value,
      alerted_at: new Date(now),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('budget_id')
    .execute();
  return inserted.length > 0;
}
