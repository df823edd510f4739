/** Idempotency keys in PostgreSQL, so that a repeat is recognised by every process and after a restart. */
import type { Clock } from '@poolmeter/domain';
import type { Kysely } from 'kysely';
import type { AccessDatabase } from './access-database.js';
import type { IdempotencyStore, KeyClaim, KeyedRequest } from './idempotency.js';

export interface PostgresIdempotencyOptions {
  readonly db: Kysely<AccessDatabase>;
  readonly clock: Clock;
  /**
   * How long a claimed key is held, in milliseconds; 60 s when absent. When the process dies in between, a repeat may
   * run after that time, so what a route creates must also be unique by its own key where money depends on it.
   */
  readonly lockMs?: number;
}

export interface PostgresIdempotencyStore extends IdempotencyStore {
  /** Deletes keys older than this many milliseconds, and returns how many there were. */
  forgetOlderThan(ageMs: number): Promise<number>;
}

export function createIdempotencyStore(options: PostgresIdempotencyOptions): PostgresIdempotencyStore {
  const { db, clock } = options;
  const lockMs = options.lockMs ?? 60_000;
  const ofKey = (request: KeyedRequest) => ({ token_id: request.tokenId, key: request.key });
  return {
    async claim(request) {
      const now = clock.now();
      // One statement decides: the row is new, or its lock has run out, or somebody else holds it.
      const mine = await db
        .insertInto('access.idempotency_keys')
        .values({
          ...ofKey(request),
          fingerprint: Buffer.from(request.fingerprint),
          created_at: new Date(now),
          locked_until: new Date(now + lockMs),
          status: null,
          headers: null,
          body: null,
        })
        .onConflict((conflict) =>
          conflict
            .columns(['token_id', 'key'])
            .doUpdateSet({ locked_until: new Date(now + lockMs) })
            .where('access.idempotency_keys.status', 'is', null)
            .where('access.idempotency_keys.locked_until', '<', new Date(now))
            .where('access.idempotency_keys.fingerprint', '=', Buffer.from(request.fingerprint)),
        )
        .returning('key')
        .executeTakeFirst();
      return mine === undefined ? readClaim(db, request) : { kind: 'mine' };
    },
    async keep(request, answer) {
      await db
        .updateTable('access.idempotency_keys')
        .set({
          status: answer.status,
          headers: answer.headers,
          body: Buffer.from(answer.body),
        })
        .where((row) => row.and(ofKey(request)))
        .execute();
    },
    async release(request) {
      await db
        .deleteFrom('access.idempotency_keys')
        .where((row) => row.and(ofKey(request)))
        .where('status', 'is', null)
        .execute();
    },
    async forgetOlderThan(ageMs) {
      const forgotten = await db
        .deleteFrom('access.idempotency_keys')
        .where('created_at', '<', new Date(clock.now() - ageMs))
        .executeTakeFirst();
      return Number(forgotten.numDeletedRows);
    },
  };
}

async function readClaim(db: Kysely<AccessDatabase>, request: KeyedRequest): Promise<KeyClaim> {
  const row = await db
    .selectFrom('access.idempotency_keys')
    .select(['fingerprint', 'status', 'headers', 'body'])
    .where('token_id', '=', request.tokenId)
    .where('key', '=', request.key)
    .executeTakeFirst();
  // Released between the two statements: the caller's next try claims it.
  if (row === undefined) return { kind: 'busy' };
  if (!Buffer.from(row.fingerprint).equals(Buffer.from(request.fingerprint))) return { kind: 'different' };
  if (row.status === null) return { kind: 'busy' };
  return {
    kind: 'answered',
    answer: { status: row.status, headers: row.headers ?? {}, body: row.body ?? new Uint8Array() },
  };
}
