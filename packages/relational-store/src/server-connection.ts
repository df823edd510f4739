/**
 * One physical connection. The driver's own pool is not used: after a lost connection it reconnects in silence, which
 * would run the rest of a transaction outside of it, and releasing a reserved connection whose server is gone makes it
 * write to a socket that no longer exists. Here a connection that closed stays closed.
 */
import type { Readable, Writable } from 'node:stream';
import { PoolmeterError } from '@poolmeter/domain';
import postgres from 'postgres';
import { errorFromServer } from './server-error.js';

export interface ConnectionOptions {
  readonly url: string;
  readonly applicationName: string;
  /** The server ends a statement after this long; 0 = no limit. */
  readonly statementTimeoutMs: number;
  readonly connectTimeoutMs?: number;
}

export interface StatementResult {
  readonly command: string;
  readonly count: number;
  readonly rows: Record<string, unknown>[];
}

export class ServerConnection {
  readonly #sql: postgres.Sql;
  readonly #closed = new AbortController();

  constructor(options: ConnectionOptions) {
    this.#sql = postgres(options.url, {
      max: 1,
      idle_timeout: 0,
      max_lifetime: null,
      connect_timeout: Math.ceil((options.connectTimeoutMs ?? 5_000) / 1_000),
      prepare: false,
      types: columnTypes,
      onnotice: () => undefined,
      onclose: () => this.#closed.abort(closedError()),
      connection: {
        application_name: options.applicationName,
        statement_timeout: options.statementTimeoutMs,
        TimeZone: 'UTC',
      },
    });
  }

  /** Aborted when the connection is gone, for whatever reason; it never comes back. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  async query(text: string, parameters: readonly unknown[] = []): Promise<StatementResult> {
    if (this.closed.aborted) throw closedError();
    try {
      const result = await this.#sql.unsafe(text, this.#typed(parameters));
      return { command: result.command, count: result.count, rows: Array.from(result) };
    } catch (fault) {
      throw errorFromServer(fault);
    }
  }

  /** The bytes of a `COPY … TO STDOUT`. Nothing else may be asked of this connection until they were read. */
  async copyOut(text: string): Promise<Readable> {
    if (this.closed.aborted) throw closedError();
    try {
      const rows = await this.#sql.unsafe(text).readable();
      // The driver stops its socket when the reader is slow and goes on when it asks for more. Nobody asks after the end,
      // and what the server says behind the last row would never be heard.
      return rows.once('end', () => {
        rows._read(0);
      });
    } catch (fault) {
      throw errorFromServer(fault);
    }
  }

  /** Takes the bytes of a `COPY … FROM STDIN`; it ends when the server has taken them. */
  async copyIn(text: string): Promise<Writable> {
    if (this.closed.aborted) throw closedError();
    try {
      return await this.#sql.unsafe(text).writable();
    } catch (fault) {
      throw errorFromServer(fault);
    }
  }

  /** Rows in chunks, through a cursor. */
  async *stream(text: string, options: { parameters: readonly unknown[]; chunkRows: number }) {
    if (this.closed.aborted) throw closedError();
    try {
      const query = this.#sql.unsafe<Record<string, unknown>[]>(text, this.#typed(options.parameters));
      for await (const rows of query.cursor(options.chunkRows)) yield rows;
    } catch (fault) {
      throw errorFromServer(fault);
    }
  }

  /** The driver takes the type of an array from its first element; type 0 lets the server say what it expects. */
  #typed(parameters: readonly unknown[]): never[] {
    return parameters.map((each) =>
      Array.isArray(each) ? this.#sql.typed(each as never, 0) : each,
    ) as never[];
  }

  async end(): Promise<void> {
    await this.#sql.end({ timeout: 2 });
    this.#closed.abort(closedError());
  }
}

function closedError(): PoolmeterError {
  return new PoolmeterError('dependency.unavailable', 'The connection to PostgreSQL was lost; try again.', {
    retriable: true,
  });
}

/**
 * bigint columns become bigint; numeric stays text (the driver's default); timestamptz becomes Date; date, and
 * timestamp without a zone, stay text, because a Date would place them in this machine's zone.
 */
const columnTypes: Record<string, postgres.PostgresType> = {
  bigint: {
    to: 20,
    from: [20],
    serialize: (value: unknown) => String(value),
    parse: (text: string) => BigInt(text),
  },
  zonelessTime: {
    to: 1114,
    from: [1082, 1114],
    serialize: (value: unknown) => String(value),
    parse: (text: string) => text,
  },
  json: {
    to: 114,
    from: [114, 3802],
    serialize: jsonText,
    parse: (text: string) => JSON.parse(text) as unknown,
  },
};

function jsonText(value: unknown): string {
  if (typeof value === 'string') {
    throw new PoolmeterError(
      'internal',
      'A json parameter was given as text and would be stored as one string: pass the value itself, not JSON.stringify of it.',
    );
  }
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner));
}
