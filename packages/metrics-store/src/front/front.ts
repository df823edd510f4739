/** The ClickHouse HTTP interface over the embedded engine. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Engine, EngineConnection } from './engine.js';
import { createQueryKiller } from './query-killer.js';
import { openQueryLog } from './query-log.js';
import { createReaderGuard } from './reader-guard.js';
import { serveQuery, type FrontParts } from './serve-query.js';
import { RowStructures } from './row-structures.js';
import { Sessions } from './sessions.js';
import { createSlots } from './slots.js';
import { openSpool } from './spool.js';
import type { FrontUser } from './users.js';

export interface FrontOptions {
  readonly engine: Engine;
  readonly users: readonly FrontUser[];
  readonly port: number;
  readonly spoolDirectory: string;
  readonly queryLogPath: string;
  readonly onFault: (what: string, fault: unknown) => void;
}

export interface Front {
  readonly port: number;
  /** Takes no more requests, lets those in hand finish for `drainMs`, then ends them; closes the engine. */
  stop(drainMs: number): Promise<void>;
}

/** Below UV_THREADPOOL_SIZE (32), so that files and the killer find a thread too. */
const MAX_RUNNING = 16;
const MAX_WAITING = 256;
const MAX_STATEMENT_BYTES = 16 * 1_048_576;
const MAX_INSERT_BYTES = 512 * 1_048_576;
const MAX_QUERY_LOG_BYTES = 8 * 1_048_576;
/** Longer than the idle time after which clients drop a socket, so that they never write into one that we close. */
const KEEP_ALIVE_MS = 10_000;

export async function startFront(options: FrontOptions): Promise<Front> {
  // Keeps merges, TTL and views going between requests, and gives the orders to kill.
  const control = options.engine.open();
  const slots = createSlots({ running: MAX_RUNNING, waiting: MAX_WAITING });
  const sessions = new Sessions(options.engine);
  const log = openQueryLog({
    path: options.queryLogPath,
    maxFileBytes: MAX_QUERY_LOG_BYTES,
    onFault: (fault) => options.onFault('The query log could not be written.', fault),
  });
  const killer = createQueryKiller(control, (fault) => options.onFault('A query was not ended.', fault));
  const parts: FrontParts = {
    users: options.users,
    slots,
    sessions,
    structures: new RowStructures(),
    spool: openSpool(options.spoolDirectory, MAX_INSERT_BYTES),
    guard: createReaderGuard(await lines(control, 'SELECT name FROM system.table_functions')),
    killer,
    log,
    hello: await helloFacts(control),
    maxStatementBytes: MAX_STATEMENT_BYTES,
  };
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) =>
    route(parts, request, response, options.onFault),
  );
  const port = await listen(server, options.port);
  const stop = async (drainMs: number) => {
    server.close();
    server.closeIdleConnections();
    if (!(await idle(slots, drainMs))) {
      killer.killAll();
      await idle(slots, drainMs / 4);
    }
    server.closeAllConnections();
    log.close();
    sessions.closeIdle();
    // A connection must not be closed under a running query; the process ends then without it.
    if (slots.running === 0) control.close();
  };
  return { port, stop };
}

function route(
  parts: FrontParts,
  request: IncomingMessage,
  response: ServerResponse,
  onFault: FrontOptions['onFault'],
): void {
  const { pathname } = new URL(request.url ?? '/', 'http://front');
  if (pathname === '/ping' || pathname === '/replicas_status') {
    response.end('Ok.\n');
    return;
  }
  if (pathname !== '/') {
    response.statusCode = 404;
    response.end(`There is no handle ${pathname}. Use / or /ping.\n`);
    request.resume();
    return;
  }
  serveQuery(parts, request, response).catch((fault: unknown) => {
    onFault('A request could not be served.', fault);
    response.destroy();
  });
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** True when nothing runs any more before the time is over. */
async function idle(slots: { readonly running: number }, withinMs: number): Promise<boolean> {
  for (const until = performance.now() + withinMs; slots.running > 0;) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

async function lines(connection: EngineConnection, sql: string): Promise<string[]> {
  return (await connection.run(sql)).bytes.toString().trim().split('\n');
}

async function helloFacts(control: EngineConnection) {
  const [version = '', timezone = 'UTC'] = (await lines(control, 'SELECT version(), timezone()'))
    .join()
    .split('\t');
  return { version, timezone };
}
