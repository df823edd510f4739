/** Price book versions and contracts in PostgreSQL. */
import { digestOf, parseInstant, instantFromMs, PoolmeterError, type Clock } from '@poolmeter/domain';
import { z } from '@hono/zod-openapi';
import { sql } from 'kysely';
import type { BillingReader, BillingTransaction } from '../database.js';
import { contractSchema, type ContractEntry } from '../files/contracts-file.js';
import type { PricesFile } from '../files/prices-file.js';
import {
  parseRates,
  priceBookDigest,
  type ContractVersion,
  type PriceBookVersion,
} from '../rating/price-book.js';
import { rateSchema, rateToJson } from '../rating/rate-json.js';
import { contractFrom } from './contract-terms.js';

export interface AppliedPrices {
  readonly version: number;
  readonly outcome: 'created' | 'unchanged';
}

/** Adds a version; the same content again is the version that is there already. */
export async function applyPrices(
  trx: BillingTransaction,
  file: PricesFile,
  clock: Clock,
): Promise<AppliedPrices> {
  const rates = parseRates(file.rates);
  const effectiveFrom = parseInstant(file.effective_from);
  const digest = priceBookDigest({ currency: file.currency, effectiveFrom, rates });
  // One writer at a time, so that versions count up without a gap.
  await sql`SELECT pg_advisory_xact_lock(hashtextextended('billing.price_books', 0))`.execute(trx);
  const known = await trx
    .selectFrom('billing.price_books')
    .select('version')
    .where('digest', '=', digest)
    .executeTakeFirst();
  if (known !== undefined) return { version: known.version, outcome: 'unchanged' };
  const last = await trx
    .selectFrom('billing.price_books')
    .select((select) => select.fn.max('version').as('version'))
    .executeTakeFirst();
  const version = (last?.version ?? 0) + 1;
  const row = {
    version,
    currency: file.currency,
    effective_from: new Date(effectiveFrom),
    rates: sql`${file.rates.map(rateToJson)}::jsonb`,
    digest,
    recorded_at: new Date(clock.now()),
  };
  await trx.insertInto('billing.price_books').values(row).execute();
  return { version, outcome: 'created' };
}

const storedRates = z.array(rateSchema);

/** All versions, or those that an invoice pinned. */
export async function readPriceBooks(
  db: BillingReader,
  versions?: readonly number[],
): Promise<PriceBookVersion[]> {
  if (versions?.length === 0) return [];
  let query = db.selectFrom('billing.price_books').selectAll().orderBy('version');
  if (versions !== undefined) query = query.where('version', 'in', versions);
  return (await query.execute()).map((row) => ({
    version: row.version,
    currency: row.currency,
    effectiveFrom: instantFromMs(row.effective_from.getTime()),
    rates: parseRates(storedRates.parse(row.rates)),
  }));
}

/** Adds a version of a contract when anything differs from the last one. */
export async function applyContract(
  trx: BillingTransaction,
  entry: ContractEntry,
  clock: Clock,
): Promise<AppliedPrices> {
  contractFrom(entry, 1);
  const digest = digestOf(entry);
  await sql`SELECT pg_advisory_xact_lock(hashtextextended('billing.contracts', 0))`.execute(trx);
  const known = await trx
    .selectFrom('billing.customers')
    .select('customer_id')
    .where('customer_id', '=', entry.customer)
    .executeTakeFirst();
  if (known === undefined) {
    const advice = 'apply its customer first';
    throw new PoolmeterError(
      'not_found',
      `Contract ${entry.id}: there is no customer ${entry.customer}; ${advice}.`,
    );
  }
  const last = await trx
    .selectFrom('billing.contracts')
    .selectAll()
    .where('contract_id', '=', entry.id)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (last?.digest === digest) return { version: last.version, outcome: 'unchanged' };
  if (last !== undefined && last.customer_id !== entry.customer) {
    throw new PoolmeterError('input.conflict', `Contract ${entry.id} belongs to ${last.customer_id}.`);
  }
  const version = (last?.version ?? 0) + 1;
  const row = {
    contract_id: entry.id,
    version,
    customer_id: entry.customer,
    effective_from: new Date(parseInstant(entry.effective_from)),
    effective_until:
      entry.effective_until === undefined ? null : new Date(parseInstant(entry.effective_until)),
    terms: entry,
    digest,
    recorded_at: new Date(clock.now()),
  };
  await trx.insertInto('billing.contracts').values(row).execute();
  return { version, outcome: 'created' };
}

export interface PinnedContract {
  readonly contract_id: string;
  readonly version: number;
}

/** All versions of a customer's contracts, or those that an invoice pinned. */
export async function readContracts(
  db: BillingReader,
  customerId: string,
  pinned?: readonly PinnedContract[],
): Promise<ContractVersion[]> {
  const rows = await db
    .selectFrom('billing.contracts')
    .selectAll()
    .where('customer_id', '=', customerId)
    .orderBy('contract_id')
    .orderBy('version')
    .execute();
  return rows
    .filter(
      (row) =>
        pinned === undefined ||
        pinned.some((one) => one.contract_id === row.contract_id && one.version === row.version),
    )
    .map((row) => contractFrom(contractSchema.parse(row.terms), row.version));
}
