/** The door to ClickHouse: named queries in, zod-checked rows out; inserts that may be repeated with the same token. */
import type { Readable } from 'node:stream';
import {
  ClickHouseLogLevel,
  createClient,
  type ClickHouseClient,
  type ClickHouseSettings,
} from '@clickhouse/client';
import { isPoolmeterError, PoolmeterError } from '@poolmeter/domain';
import type { z } from 'zod';
import { onCluster } from './cluster-ddl.js';
import type { QueryDefinition } from './define-query.js';
import {
  drained,
  identifier,
  insertStatement,
  insertValues,
  settingsOfTable,
  type InsertRequest,
  type StoreSettings,
} from './insert-body.js';
import { checkRange, type QueryBounds } from './query-bounds.js';
import { wholeAnswer } from './whole-answer.js';
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

export interface CommandOptions extends RequestOptions {
  /** Values of the statement's parameters, such as `{from_ms:Int64}`. */
  readonly params?: Readonly<Record<string, unknown>>;
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
  /** The bytes of a SELECT in ClickHouse's own format; a fault in mid-stream is an error of the stream. */
  exportRows(sql: string, options: RequestOptions & { readonly name: string }): Promise<Readable>;
  /** Resolves when the rows are stored. On a retriable error send the same bytes with the same token again. */
  insert(request: InsertRequest): Promise<void>;
  /** Runs a statement without an answer, such as DDL. */
  command(sql: string, options?: CommandOptions): Promise<void>;
  /** Creates the database when it is missing; on every node of the cluster when one is named. */
  createDatabase(cluster?: string): Promise<void>;
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
 * Settings of every query. It may only read, and an answer that would be cut short is an error. In a cluster the rows of
 * one GPU lie on one shard, so a subquery about GPUs is answered where the rows are.
 */
const READ_SETTINGS: ClickHouseSettings = {
  readonly: '2',
  result_overflow_mode: 'throw',
  read_overflow_mode: 'throw',
  timeout_overflow_mode: 'throw',
  max_bytes_to_read: String(MAX_BYTES_TO_READ),
  distributed_product_mode: 'local',
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
  // In a cluster: the answer comes when every shard has its rows, not when they are queued on one node.
  distributed_foreground_insert: 1,
};

export function openMetricsStore(options: MetricsStoreOptions): MetricsStore {
  return new ClickHouseMetricsStore(options);
}

class ClickHouseMetricsStore implements MetricsStore {
  readonly database: string;
  readonly #client: ClickHouseClient;
  readonly #address: StoreAddress;
  readonly #readSettings: ClickHouseSettings;
  readonly #maxExecutionS: number;

  constructor(options: MetricsStoreOptions) {
    const address = parseStoreAddress(options);
    const timeoutMs = options.queryTimeoutMs ?? 60_000;
    this.database = options.database ?? 'poolmeter';
    this.#address = address;
    this.#maxExecutionS = Math.ceil(timeoutMs / 1000);
    this.#readSettings = {
      ...READ_SETTINGS,
      max_execution_time: this.#maxExecutionS,
      max_result_rows: String(MAX_RESULT_ROWS),
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
    checkRange(definition.name, definition.bounds.range, parameters);
    const rows = await this.#attempt({ action, signal: options.signal }, async () => {
      const result = await this.#client.query({
        query: definition.sql,
        format: 'JSONEachRow',
        query_params: parameters as Record<string, unknown>,
        // Long lists do not fit into an address.
        use_multipart_params_auto: true,
        clickhouse_settings: {
          ...this.#readSettings,
          ...this.#costLimits(definition.bounds),
          log_comment: definition.name,
          ...options.settings,
        },
        ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
      });
      return result.json<unknown>();
    });
    return rows.map((row) => checked(definition.row, row, `A row of ${definition.name}`));
  }

  /** The shorter time counts: that of the query or that of its caller. */
  #costLimits(bounds: QueryBounds): ClickHouseSettings {
    return {
      max_execution_time: Math.min(bounds.maxExecutionS, this.#maxExecutionS),
      max_rows_to_read: String(bounds.maxRowsToRead),
      max_memory_usage: String(bounds.maxMemoryBytes),
    };
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

  async exportRows(sql: string, options: RequestOptions & { readonly name: string }): Promise<Readable> {
    const action = `export ${options.name}`;
    return this.#attempt({ action, signal: options.signal }, async () => {
      const { stream } = await this.#client.exec({
        query: `${sql} FORMAT Native`,
        clickhouse_settings: {
          readonly: '2',
          max_execution_time: this.#maxExecutionS,
          log_comment: options.name,
          ...options.settings,
        },
        ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
      });
      return wholeAnswer(stream, action);
    });
  }

  async insert(request: InsertRequest): Promise<void> {
    const clickhouse_settings: ClickHouseSettings = {
      ...INSERT_SETTINGS,
      ...settingsOfTable(request.table),
      insert_deduplication_token: request.token,
      log_comment: `insert ${request.table}`,
      ...request.settings,
    };
    const abort = request.signal === undefined ? {} : { abort_signal: request.signal };
    const action = `insert into ${request.table}`;
    const onRepeated = request.onRepeated;
    await this.#attempt({ action, signal: request.signal, onRepeated }, async () => {
      const query = insertStatement(request);
      const values = insertValues(request);
      const result = await this.#client.exec({ query, values, clickhouse_settings, ...abort });
      await drained(result.stream);
    });
  }

  async command(sql: string, options: CommandOptions = {}): Promise<void> {
    const action = `run "${sql.trim().slice(0, 60)}…"`;
    await this.#attempt({ action, signal: options.signal, once: true }, () =>
      this.#client.command({
        query: sql,
        ...(options.params === undefined ? {} : { query_params: options.params }),
        clickhouse_settings: { wait_end_of_query: 1, ...options.settings },
        ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
      }),
    );
  }

  async createDatabase(cluster?: string): Promise<void> {
    const where = cluster === undefined ? '' : ` ${onCluster(cluster)}`;
    // Every request of the other client names the database, and one that does not exist yet is an error.
    const client = createClient({
      ...this.#address,
      database: 'default',
      log: { level: ClickHouseLogLevel.OFF },
    });
    try {
      await this.#attempt({ action: `create the database ${this.database}`, signal: undefined }, () =>
        client.command({ query: `CREATE DATABASE IF NOT EXISTS ${identifier(this.database)}${where}` }),
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
    const { action, signal, once = false, onRepeated } = attempt;
    for (let repeated = once; ; repeated = true) {
      signal?.throwIfAborted();
      try {
        return await run();
      } catch (fault) {
        if (signal?.aborted === true) throw isPoolmeterError(fault) ? fault : (signal.reason as Error);
        if (repeated || !isDroppedSocket(fault)) throw storeError(fault, { action, url: this.#address.url });
        onRepeated?.();
      }
    }
  }
}

interface Attempt {
  /** What is being done, for the sentence when it fails. */
  readonly action: string;
  readonly signal: AbortSignal | undefined;
  readonly once?: boolean;
  readonly onRepeated?: (() => void) | undefined;
}

function checked<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new PoolmeterError('internal', `${what} do not fit: ${issues.join('; ')}.`, { details: { issues } });
}
