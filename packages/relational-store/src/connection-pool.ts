/** A bounded pool of connections behind Kysely's driver interface. Waiters are served in order, and not for ever. */
import { PoolmeterError } from '@poolmeter/domain';
import {
  PostgresAdapter,
  PostgresDriver,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Kysely,
  type QueryResult,
} from 'kysely';
import { ServerConnection, type ConnectionOptions } from './server-connection.js';

export interface PoolOptions extends ConnectionOptions {
  readonly maxConnections: number;
  /** How long a caller waits for a free connection before it is told to try again. */
  readonly acquireTimeoutMs: number;
}

export function createPooledDialect(options: PoolOptions): Dialect {
  return {
    createDriver: () => new PooledDriver(options),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createAdapter: () => new PostgresAdapter(),
    createIntrospector: (db: Kysely<unknown>) => new PostgresIntrospector(db),
  };
}

class PooledConnection implements DatabaseConnection {
  readonly server: ServerConnection;

  constructor(server: ServerConnection) {
    this.server = server;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const result = await this.server.query(query.sql, query.parameters);
    const changes = ['INSERT', 'UPDATE', 'DELETE', 'MERGE'].includes(result.command);
    return {
      rows: result.rows as R[],
      ...(changes ? { numAffectedRows: BigInt(result.count) } : {}),
    };
  }

  async *streamQuery<R>(query: CompiledQuery, chunkRows = 1_000): AsyncIterableIterator<QueryResult<R>> {
    const options = { parameters: query.parameters, chunkRows };
    for await (const rows of this.server.stream(query.sql, options)) yield { rows: rows as R[] };
  }
}

/** BEGIN, COMMIT, ROLLBACK and savepoints come from Kysely's own PostgreSQL driver. */
class PooledDriver extends PostgresDriver {
  readonly #options: PoolOptions;
  readonly #idle: PooledConnection[] = [];
  readonly #all = new Set<PooledConnection>();
  readonly #waiting: ((connection: PooledConnection) => void)[] = [];
  #ended = false;

  constructor(options: PoolOptions) {
    super({ pool: () => Promise.reject(new Error('The pool is this driver.')) });
    this.#options = options;
  }

  override init(): Promise<void> {
    return Promise.resolve();
  }

  override acquireConnection(): Promise<DatabaseConnection> {
    if (this.#ended) {
      return Promise.reject(new PoolmeterError('dependency.unavailable', 'The relational store is closed.'));
    }
    const idle = this.#takeIdle();
    if (idle !== undefined) return Promise.resolve(idle);
    if (this.#all.size < this.#options.maxConnections) return Promise.resolve(this.#open());
    return this.#waitForOne();
  }

  override releaseConnection(connection: DatabaseConnection): Promise<void> {
    if (!(connection instanceof PooledConnection)) throw new Error('This connection is not of this pool.');
    const usable = connection.server.closed.aborted ? this.#replace(connection) : connection;
    const next = usable === undefined ? undefined : this.#waiting.shift();
    if (usable !== undefined && next !== undefined) next(usable);
    else if (usable !== undefined) this.#idle.push(usable);
    return Promise.resolve();
  }

  override async destroy(): Promise<void> {
    this.#ended = true;
    await Promise.all([...this.#all].map((connection) => connection.server.end()));
    this.#all.clear();
  }

  #takeIdle(): PooledConnection | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.server.closed.aborted) return idle;
      this.#forget(idle);
    }
    return undefined;
  }

  #open(): PooledConnection {
    const connection = new PooledConnection(new ServerConnection(this.#options));
    this.#all.add(connection);
    return connection;
  }

  /** A dead connection is dropped; somebody who waits gets a new one in its place. */
  #replace(dead: PooledConnection): PooledConnection | undefined {
    this.#forget(dead);
    return this.#waiting.length > 0 && !this.#ended ? this.#open() : undefined;
  }

  #forget(dead: PooledConnection): void {
    this.#all.delete(dead);
    void dead.server.end();
  }

  #waitForOne(): Promise<PooledConnection> {
    return new Promise((resolve, reject) => {
      const waiter = (connection: PooledConnection) => {
        clearTimeout(timer);
        resolve(connection);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        const limit = `all ${this.#options.maxConnections} connections were busy for ${this.#options.acquireTimeoutMs} ms`;
        reject(new PoolmeterError('dependency.unavailable', `PostgreSQL: ${limit}.`, { retriable: true }));
      }, this.#options.acquireTimeoutMs);
      this.#waiting.push(waiter);
    });
  }
}
