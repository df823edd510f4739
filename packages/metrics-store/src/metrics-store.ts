/** The door to ClickHouse: named queries in, zod-checked rows out; inserts that may be repeated with the same token. */
import {
  ClickHouseLogLevel,
  createClient,
  type ClickHouseClient,
  type ClickHouseSettings,
} from '@clickhouse/client';
import { isPoolmeterError, PoolmeterError } from '@poolmeter/domain';
import type { z } from 'zod';
import type { QueryDefinition } from './define-query.js';
import {
  drained,
  identifier,
  insertStatement,
  insertValues,
  type InsertRequest,
  type StoreSettings,
} from './insert-body.js';
import { parseStoreAddress, type StoreAddress } from './store-address.js';
import { isDroppedSocket, storeError } from './store-error.js';

export interface MetricsStoreOptions {
  /** `http://127.0.0.1:8123`; may carry `user:password@`. */
  readonly url: string;
  /** `poolmeter` when absent. */
  readonly database?: string;
  readonly username?: string;
  readonly password?: string;
  /** The role that asks, for the server's query log. */
  readonly applicationName: string;
  /** A query that runs longer is stopped by the server and given up by the client; 60 s when absent. */
  readonly queryTimeoutMs?: number;
  /** Sockets at most; 8 when absent. */
  readonly maxConnections?: number;
}

export interface RequestOptions {
  readonly settings?: StoreSettings;
  readonly signal?: AbortSignal;
}

export interface SelectOptions {
  /** What asks, for the server's query log. */
  readonly name: string;
  /** More rows than this are an error, never a silently shortened answer. */
  readonly maxRows: number;
  /** The server stops the statement after this long; 10 s when absent. */
  readonly maxExecutionS?: number;
  readonly signal?: AbortSignal;
}

/** An answer whose columns are known only when it arrives; 64-bit integers and decimals are strings. */
export interface SelectedRows {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

export interface MetricsStore {
  readonly database: string;
  /** Runs a named query; every row is checked against its schema. 64-bit integers and decimals arrive as strings. */
  query<P extends z.ZodType, R extends z.ZodObject>(
    definition: QueryDefinition<P, R>,
    params: z.input<P>,
    options?: RequestOptions,
  ): Promise<z.output<R>[]>;
  /** Runs a read-only statement that is data itself, such as the one of a dashboard panel. The server refuses writes. */
  select(sql: string, options: SelectOptions): Promise<SelectedRows>;
  /** Resolves when the rows are stored. On a retriable error send the same bytes with the same token again. */
  insert(request: InsertRequest): Promise<void>;
  /** Runs a statement without an answer, such as DDL. */
  command(sql: string, options?: RequestOptions): Promise<void>;
  /** Creates the database when it is missing. */
  createDatabase(): Promise<void>;
  /** Rejects with a sentence unless ClickHouse answers and takes the credentials. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

const MAX_RESULT_ROWS = 1_000_000;
const MAX_BYTES_TO_READ = 50_000_000_000;

/** Settings of every request. Numbers that a float cannot hold travel as strings, times as RFC 3339 in UTC. */
const CLIENT_SETTINGS: ClickHouseSettings = {
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_decimals: 1,
  date_time_output_format: 'iso',
  date_time_input_format: 'best_effort',
  session_timezone: 'UTC',
};

/**
 * Exactly once: the token is honoured by the table and by every table that a view fills from it, and an acknowledged
 * insert is stored, not queued.
 */
const INSERT_SETTINGS: ClickHouseSettings = {
  insert_deduplicate: 1,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  async_insert: 0,
  wait_end_of_query: 1,
};

export function openMetricsStore(options: MetricsStoreOptions): MetricsStore {
  return new ClickHouseMetricsStore(options);
}

class ClickHouseMetricsStore implements MetricsStore {
  readonly database: string;
  readonly #client: ClickHouseClient;
  readonly #address: StoreAddress;
  readonly #readSettings: ClickHouseSettings;

  constructor(options: MetricsStoreOptions) {
    const address = parseStoreAddress(options);
    const timeoutMs = options.queryTimeoutMs ?? 60_000;
    this.database = options.database ?? 'poolmeter';
    this.#address = address;
    this.#readSettings = {
      max_execution_time: Math.ceil(timeoutMs / 1000),
      max_result_rows: String(MAX_RESULT_ROWS),
      result_overflow_mode: 'throw',
      max_bytes_to_read: String(MAX_BYTES_TO_READ),
    };
    this.#client = createClient({
      ...address,
      database: this.database,
      application: `poolmeter-${options.applicationName}`,
      // The server ends the query first; the client gives up a little later, when even that did not happen.
      request_timeout: timeoutMs + 5_000,
      max_open_connections: options.maxConnections ?? 8,
      // Servers drop an idle socket after 3 s (older) or 10 s: one that was idle for longer than this is not used again.
      keep_alive: { enabled: true, idle_socket_ttl: 2_000, eagerly_destroy_stale_sockets: true },
      clickhouse_settings: CLIENT_SETTINGS,
      log: { level: ClickHouseLogLevel.OFF },
    });
  }

  async query<P extends z.ZodType, R extends z.ZodObject>(
    definition: QueryDefinition<P, R>,
    params: z.input<P>,
    options: RequestOptions = {},
  ): Promise<z.output<R>[]> {
    const action = `run the query ${definition.name}`;
    const parameters = checked(definition.params, params, `The parameters of ${definition.name}`);
    const rows = await this.#attempt({ action, signal: options.signal }, async () => {
      const result = await this.#client.query({
        query: definition.sql,
        format: 'JSONEachRow',
        query_params: parameters as Record<string, unknown>,
        clickhouse_settings: { ...this.#readSettings, log_comment: definition.name, ...options.settings },
        ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
      });
      return result.json<unknown>();
    });
    return rows.map((row) => checked(definition.row, row, `A row of ${definition.name}`));
  }

  async select(sql: string, options: SelectOptions): Promise<SelectedRows> {
    return this.#attempt(
      { action: `run the statement ${options.name}`, signal: options.signal },
      async () => {
        const result = await this.#client.query({
          query: sql,
          format: 'JSONCompact',
          clickhouse_settings: {
            ...this.#readSettings,
            readonly: '2',
            max_execution_time: options.maxExecutionS ?? 10,
            max_result_rows: String(options.maxRows),
            log_comment: options.name,
          },
          ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
        });
        const { meta, data } = await result.json<unknown[]>();
        return { columns: meta ?? [], rows: data };
      },
    );
  }

  async insert(request: InsertRequest): Promise<void> {
    const clickhouse_settings: ClickHouseSettings = {
      ...INSERT_SETTINGS,
      insert_deduplication_token: request.token,
      log_comment: `insert ${request.table}`,
      ...request.settings,
    };
    const abort = request.signal === undefined ? {} : { abort_signal: request.signal };
    await this.#attempt({ action: `insert into ${request.table}`, signal: request.signal }, async () => {
      const query = insertStatement(request);
      const values = insertValues(request);
      const result = await this.#client.exec({ query, values, clickhouse_settings, ...abort });
      await drained(result.stream);
    });
  }

  async command(sql: string, options: RequestOptions = {}): Promise<void> {
    const action = `run "${sql.trim().slice(0, 60)}…"`;
    await this.#attempt({ action, signal: options.signal, once: true }, () =>
      this.#client.command({
        query: sql,
        clickhouse_settings: { wait_end_of_query: 1, ...options.settings },
        ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
      }),
    );
  }

  async createDatabase(): Promise<void> {
    // Every request of the other client names the database, and one that does not exist yet is an error.
    const client = createClient({
      ...this.#address,
      database: 'default',
      log: { level: ClickHouseLogLevel.OFF },
    });
    try {
      await this.#attempt({ action: `create the database ${this.database}`, signal: undefined }, () =>
        client.command({ query: `CREATE DATABASE IF NOT EXISTS ${identifier(this.database)}` }),
      );
    } finally {
      await client.close();
    }
  }

  async ping(): Promise<void> {
    const result = await this.#client.ping({ select: true });
    if (!result.success) throw storeError(result.error, { action: 'answer a ping', url: this.#address.url });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /**
   * A socket that was idle may be closed by the other side just as a request is written into it. Queries, and inserts
   * with their token, are then sent once more; statements that may not run twice are not.
   */
  async #attempt<T>(attempt: Attempt, run: () => Promise<T>): Promise<T> {
    const { action, signal, once = false } = attempt;
    for (let repeated = once; ; repeated = true) {
      signal?.throwIfAborted();
      try {
        return await run();
      } catch (fault) {
        if (signal?.aborted === true) throw isPoolmeterError(fault) ? fault : (signal.reason as Error);
        if (repeated || !isDroppedSocket(fault)) throw storeError(fault, { action, url: this.#address.url });
      }
    }
  }
}

interface Attempt {
  /** What is being done, for the sentence when it fails. */
  readonly action: string;
  readonly signal: AbortSignal | undefined;
  readonly once?: boolean;
}

function checked<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new PoolmeterError('internal', `${what} do not fit: ${issues.join('; ')}.`, { details: { issues } });
}
