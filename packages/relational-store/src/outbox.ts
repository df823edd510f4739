/**
 * The outbox: what an app tells the others is written in the same transaction as the change itself, and carried to the
 * bus afterwards. Either both exist or neither does.
 */
import { PoolmeterError } from '@poolmeter/domain';
import { sql, type Transaction } from 'kysely';

export interface OutboxMessage {
  readonly topic: string;
  /** The object's id: messages of one object keep their order. */
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes as they are, or a value that travels as JSON (bigint as text). */
  readonly value: Uint8Array | Readonly<Record<string, unknown>>;
}

/** The table that every app with an outbox creates in its own migration, in its own schema, with exactly this text. */
export function outboxDdl(schema: string): string {
  checkSchemaName(schema);
  return `CREATE TABLE ${schema}.outbox (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic        text NOT NULL,
  key          text NOT NULL,
  headers      jsonb NOT NULL,
  value        bytea NOT NULL,
  written_at   timestamptz(3) NOT NULL DEFAULT now(),
  published_at timestamptz(3)
);
CREATE INDEX outbox_waiting ON ${schema}.outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON ${schema}.outbox (published_at) WHERE published_at IS NOT NULL;
`;
}

/**
 * Adds messages in the given transaction. Call it after the row that it tells of was inserted or updated: the row's
 * lock then makes the order of one object's messages the order of its commits.
 */
export async function writeOutbox<DB>(
  trx: Transaction<DB>,
  schema: string,
  messages: OutboxMessage | readonly OutboxMessage[],
): Promise<void> {
  checkSchemaName(schema);
  const list: readonly OutboxMessage[] = isList(messages) ? messages : [messages];
  for (let from = 0; from < list.length; from += ROWS_PER_INSERT) {
    // One parameter for all rows: thousands of them cost more than the rows do.
    const rows = JSON.stringify(list.slice(from, from + ROWS_PER_INSERT).map(rowOf));
    await sql`
      INSERT INTO ${sql.table(`${schema}.outbox`)} (topic, key, headers, value)
      SELECT row ->> 'topic', row ->> 'key', row -> 'headers',
        coalesce(convert_to(row ->> 'text', 'UTF8'), decode(row ->> 'base64', 'base64'))
      FROM jsonb_array_elements((${rows}::text)::jsonb) WITH ORDINALITY AS given (row, place)
      ORDER BY place`.execute(trx);
  }
}

const ROWS_PER_INSERT = 1_000;

function isList(messages: OutboxMessage | readonly OutboxMessage[]): messages is readonly OutboxMessage[] {
  return Array.isArray(messages);
}

function rowOf({ topic, key, headers = {}, value }: OutboxMessage): Record<string, unknown> {
  if (value instanceof Uint8Array) {
    return { topic, key, headers, base64: Buffer.from(value).toString('base64') };
  }
  const text = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? String(inner) : inner,
  );
  return { topic, key, headers, text };
}

/** The name becomes part of SQL text, so nothing but a plain name is let through. */
export function checkSchemaName(schema: string): void {
  if (!/^[a-z][a-z0-9_]{0,40}$/.test(schema)) {
    throw new PoolmeterError('config.invalid', `"${schema}" is not a schema name.`);
  }
}
