/** A connection to PostgreSQL for one service: typed queries, retried transactions and named locks. */
import { messageOf, PoolmeterError, systemClock, type Clock } from '@poolmeter/domain';
import { Kysely, sql, type IsolationLevel, type Transaction } from 'kysely';
import { createPooledDialect } from './connection-pool.js';
import { ServerConnection, type ConnectionOptions } from './server-connection.js';
import { isSerializationFailure } from './server-error.js';

export interface RelationalStoreOptions {
  readonly url: string;
  /** Seen in pg_stat_activity: the role, such as `billing`. */
  readonly applicationName: string;
  /** 8 when absent. */
  readonly maxConnections?: number;
  /** The server ends a statement after this long; 30 s when absent. */
  readonly statementTimeoutMs?: number;
  /** How long a caller waits for a free connection; 10 s when absent. */
  readonly acquireTimeoutMs?: number;
  readonly clock?: Clock;
}

export interface TransactionOptions {
  /** `serializable` when absent: the result is as if transactions ran one after another. */
  readonly isolation?: IsolationLevel;
  /** Attempts before a serialization failure is given to the caller; 8 when absent. */
  readonly attempts?: number;
}

/** A lock held by this process until it is released or its connection is lost. */
export interface HeldLock {
  /** Aborted when the lock is no longer held. Work under the lock must stop then. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export interface RelationalStore<DB> {
  /** Errors arrive as PoolmeterError with `details.sqlstate`; bigint, numeric, timestamptz as bigint, string, Date. */
  readonly db: Kysely<DB>;
  /**
   * Runs `work` in one transaction, again when the server could not serialize it. It may run several times, so it must
   * have no effect outside of the transaction.
   */
  transaction<T>(work: (trx: Transaction<DB>) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** A cluster-wide lock by name, or undefined while another process holds it. */
  tryLock(name: string): Promise<HeldLock | undefined>;
  /** Rejects with a sentence when PostgreSQL cannot be used. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

const MAX_BACKOFF_MS = 500;

export function openRelationalStore<DB>(options: RelationalStoreOptions): RelationalStore<DB> {
  return new PostgresStore<DB>(options);
}

class PostgresStore<DB> implements RelationalStore<DB> {
  readonly db: Kysely<DB>;
  readonly #connection: ConnectionOptions;
  readonly #clock: Clock;
  readonly #locks = new Set<ServerConnection>();

  constructor(options: RelationalStoreOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#connection = {
      url: checkedUrl(options.url),
      applicationName: options.applicationName,
      statementTimeoutMs: options.statementTimeoutMs ?? 30_000,
    };
    this.db = new Kysely<DB>({
      dialect: createPooledDialect({
        ...this.#connection,
        maxConnections: options.maxConnections ?? 8,
        acquireTimeoutMs: options.acquireTimeoutMs ?? 10_000,
      }),
    });
  }

  async transaction<T>(
    work: (trx: Transaction<DB>) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const attempts = options.attempts ?? 8;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const isolation = options.isolation ?? 'serializable';
        return await this.db.transaction().setIsolationLevel(isolation).execute(work);
      } catch (fault) {
        if (attempt >= attempts || !isSerializationFailure(fault)) throw fault;
        // Random, so that two transactions that met do not meet again.
        await this.#clock.sleep(Math.random() * Math.min(MAX_BACKOFF_MS, 5 * 2 ** attempt));
      }
    }
  }

  async tryLock(name: string): Promise<HeldLock | undefined> {
    const connection = new ServerConnection(this.#connection);
    try {
      const { rows } = await connection.query(
        'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held',
        [name],
      );
      if (rows[0]?.['held'] !== true) {
        await connection.end();
        return undefined;
      }
    } catch (fault) {
      await connection.end();
      throw fault;
    }
    this.#locks.add(connection);
    const release = async () => {
      this.#locks.delete(connection);
      await connection.end();
    };
    return { lost: connection.closed, release };
  }

  async ping(): Promise<void> {
    try {
      await sql`SELECT 1`.execute(this.db);
    } catch (fault) {
      throw new PoolmeterError('dependency.unavailable', `PostgreSQL does not answer: ${messageOf(fault)}`, {
        retriable: true,
        cause: fault,
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#locks].map((connection) => connection.end()));
    await this.db.destroy();
  }
}

/** The driver would fill gaps in a malformed address from PG… variables, and connect to somewhere else. */
export function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^postgres(ql)?:$/.test(parsed.protocol) || parsed.hostname === '') {
    throw new PoolmeterError(
      'config.invalid',
      'The PostgreSQL address is not valid: write postgres://USER:PASSWORD@HOST:PORT/DATABASE.',
    );
  }
  return url;
}
