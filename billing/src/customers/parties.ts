/** Customers and providers: versions of the one, the current terms of the other, and those met for the first time. */
import { parseFraction, PoolmeterError, type Clock, type EpochMs } from '@poolmeter/domain';
import type { BillingReader, BillingTransaction } from '../database.js';
import { checkZone } from '../invoicing/period.js';
import type { CustomerVersion } from '../invoicing/period-inputs.js';
import type { CustomerEntry, ProviderEntry } from '../files/customers-file.js';

export interface CreatedParties {
  readonly customers: readonly string[];
  readonly providers: readonly string[];
}

/** Creates what is not known yet: zone UTC, the price book's currency, nothing agreed about payouts. */
export async function createMissingParties(
  trx: BillingTransaction,
  met: {
    readonly customerIds: readonly string[];
    readonly providerIds: readonly string[];
    readonly now: EpochMs;
  },
): Promise<CreatedParties> {
  const at = new Date(met.now);
  const customers = await missing(met.customerIds, (ids) =>
    trx.selectFrom('billing.customers').select('customer_id as id').where('customer_id', 'in', ids).execute(),
  );
  for (const id of customers) {
    await insertCustomerVersion(trx, { id, name: id, zone: 'UTC' }, { version: 1, at });
  }
  const providers = await missing(met.providerIds, (ids) =>
    trx.selectFrom('billing.providers').select('provider_id as id').where('provider_id', 'in', ids).execute(),
  );
  for (const id of providers) {
    const terms = { name: id, currency: null, payout_share: null, updated_at: at };
    await trx
      .insertInto('billing.providers')
      .values({ provider_id: id, created_at: at, ...terms })
      .execute();
  }
  return { customers, providers };
}

async function missing(
  wanted: readonly string[],
  read: (ids: string[]) => Promise<{ id: string }[]>,
): Promise<string[]> {
  const unique = [...new Set(wanted)].sort();
  if (unique.length === 0) return [];
  const known = new Set((await read(unique)).map((row) => row.id));
  return unique.filter((id) => !known.has(id));
}

export type ApplyOutcome = 'created' | 'updated' | 'unchanged';

/** A new version when anything differs. The zone is fixed once an invoice is final: its periods were cut in it. */
export async function applyCustomer(
  trx: BillingTransaction,
  entry: CustomerEntry,
  clock: Clock,
): Promise<ApplyOutcome> {
  checkZone(entry.zone);
  const at = new Date(clock.now());
  const current = await currentCustomerRow(trx, entry.id, { lock: true });
  if (current === undefined) {
    await insertCustomerVersion(trx, entry, { version: 1, at });
    return 'created';
  }
  const next = customerColumns(entry);
  const same = Object.entries(next).every(([name, value]) => current[name as keyof typeof next] === value);
  if (same) return 'unchanged';
  if (next.zone !== current.zone && (await hasFinalInvoice(trx, entry.id))) {
    throw new PoolmeterError(
      'input.conflict',
      `The zone of ${entry.id} cannot change from ${current.zone} to ${next.zone}: it has final invoices, whose periods were cut in it.`,
      { details: { customer_id: entry.id } },
    );
  }
  await insertCustomerVersion(trx, entry, { version: current.version + 1, at });
  return 'updated';
}

async function hasFinalInvoice(trx: BillingTransaction, customerId: string): Promise<boolean> {
  const row = await trx
    .selectFrom('billing.invoices')
    .select('invoice_id')
    .where('customer_id', '=', customerId)
    .where('status', '=', 'final')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

function customerColumns(entry: CustomerEntry) {
  return {
    name: entry.name ?? entry.id,
    zone: entry.zone,
    currency: entry.currency ?? null,
    tax_rate: entry.tax?.rate ?? null,
    tax_inclusive: entry.tax?.inclusive ?? false,
    tax_exemption: entry.tax?.exemption ?? '',
  };
}

async function insertCustomerVersion(
  trx: BillingTransaction,
  entry: CustomerEntry,
  { version, at }: { version: number; at: Date },
): Promise<void> {
  const { id } = entry;
  await trx
    .insertInto('billing.customers')
    .values({ customer_id: id, current_version: version, created_at: at })
    .onConflict((conflict) => conflict.column('customer_id').doUpdateSet({ current_version: version }))
    .execute();
  await trx
    .insertInto('billing.customer_versions')
    .values({ customer_id: id, version, ...customerColumns(entry), recorded_at: at })
    .execute();
}

/** Providers have no versions: their terms are read when an invoice is booked, and the ledger keeps what was booked. */
export async function applyProvider(
  trx: BillingTransaction,
  entry: ProviderEntry,
  clock: Clock,
): Promise<ApplyOutcome> {
  const at = new Date(clock.now());
  const current = await trx
    .selectFrom('billing.providers')
    .selectAll()
    .where('provider_id', '=', entry.id)
    .forUpdate()
    .executeTakeFirst();
  const terms = {
    name: entry.name ?? entry.id,
    currency: entry.currency ?? null,
    payout_share: entry.payout_share ?? null,
  };
  if (current === undefined) {
    const row = { provider_id: entry.id, created_at: at, updated_at: at, ...terms };
    await trx.insertInto('billing.providers').values(row).execute();
    return 'created';
  }
  if (Object.entries(terms).every(([name, value]) => current[name as keyof typeof terms] === value))
    return 'unchanged';
  await trx
    .updateTable('billing.providers')
    .set({ ...terms, updated_at: at })
    .where('provider_id', '=', entry.id)
    .execute();
  return 'updated';
}

function currentCustomerRow(db: BillingReader, customerId: string, { lock }: { lock: boolean }) {
  const query = db
    .selectFrom('billing.customers as c')
    .innerJoin('billing.customer_versions as v', (join) =>
      join.onRef('v.customer_id', '=', 'c.customer_id').onRef('v.version', '=', 'c.current_version'),
    )
    .select(['c.customer_id', 'c.invoice_revision', 'v.version', 'v.name', 'v.zone', 'v.currency'])
    .select(['v.tax_rate', 'v.tax_inclusive', 'v.tax_exemption'])
    .where('c.customer_id', '=', customerId);
  return (lock ? query.forUpdate('c') : query).executeTakeFirst();
}

export interface KnownCustomer {
  readonly customer: CustomerVersion;
  /** Grows with each final or void invoice. */
  readonly invoiceRevision: bigint;
}

/** A customer's current terms; without a currency of its own, that of the price book. */
export async function readCustomer(db: BillingReader, customerId: string): Promise<KnownCustomer> {
  const row = await currentCustomerRow(db, customerId, { lock: false });
  if (row === undefined) throw new PoolmeterError('not_found', `There is no customer ${customerId}.`);
  return { customer: await versionFromRow(db, row), invoiceRevision: row.invoice_revision };
}

/** A customer as it was at a version, with the currency that the invoice was written in. */
export async function readCustomerVersion(
  db: BillingReader,
  pinned: { readonly customerId: string; readonly version: number; readonly currency: string },
): Promise<CustomerVersion> {
  const row = await db
    .selectFrom('billing.customer_versions')
    .selectAll()
    .where('customer_id', '=', pinned.customerId)
    .where('version', '=', pinned.version)
    .executeTakeFirst();
  if (row === undefined) {
    throw new PoolmeterError(
      'not_found',
      `Version ${pinned.version} of customer ${pinned.customerId} is gone.`,
    );
  }
  return versionFromRow(db, { ...row, currency: row.currency ?? pinned.currency });
}

interface CustomerRow {
  readonly customer_id: string;
  readonly version: number;
  readonly name: string;
  readonly zone: string;
  readonly currency: string | null;
  readonly tax_rate: string | null;
  readonly tax_inclusive: boolean;
  readonly tax_exemption: string;
}

async function versionFromRow(db: BillingReader, row: CustomerRow): Promise<CustomerVersion> {
  return {
    customerId: row.customer_id,
    version: row.version,
    name: row.name,
    zone: row.zone,
    currency: row.currency ?? (await priceBookCurrency(db, row.customer_id)),
    tax:
      row.tax_rate === null
        ? undefined
        : {
            rate: parseFraction(row.tax_rate),
            inclusive: row.tax_inclusive,
            exemption: row.tax_exemption,
          },
  };
}

async function priceBookCurrency(db: BillingReader, customerId: string): Promise<string> {
  const book = await db
    .selectFrom('billing.price_books')
    .select('currency')
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (book !== undefined) return book.currency;
  throw new PoolmeterError(
    'price.missing',
    `Nothing can be charged to ${customerId}: there is no price book yet. Apply one (poolmeter prices apply FILE).`,
    { details: { customer_id: customerId } },
  );
}
