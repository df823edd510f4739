/** Many rows in one statement with one parameter: the server takes the columns from JSON, by the table's own types. */
import { sql } from 'kysely';
import type { BillingDatabase, BillingTransaction } from './database.js';

const ROWS_PER_STATEMENT = 5_000;

/** Every column of the table must be there; generated ones are not for this. */
export async function insertRows(
  trx: BillingTransaction,
  table: keyof BillingDatabase,
  rows: readonly object[],
): Promise<void> {
  for (let from = 0; from < rows.length; from += ROWS_PER_STATEMENT) {
    const part = JSON.stringify(rows.slice(from, from + ROWS_PER_STATEMENT));
    await sql`
      INSERT INTO ${sql.table(table)}
      SELECT * FROM jsonb_populate_recordset(NULL::${sql.table(table)}, (${part}::text)::jsonb)`.execute(trx);
  }
}
