/** One request from its headers to its last byte: who asks, what for, on which connection, and what it cost. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isStreamable, sendFault, sendStream, sendWhole, type AnswerShape } from './answer.js';
import { asFrontError, clickhouseCodeOf, FrontError } from './clickhouse-error.js';
import type { EngineConnection } from './engine.js';
import { helloBlock, type HelloFacts } from './hello-block.js';
import type { QueryKiller } from './query-killer.js';
import type { QueryLog } from './query-log.js';
import { literal, preparingStatements, requestSettings, type RequestSettings } from './query-settings.js';
import { readAsk, type Ask, type AskReading } from './read-ask.js';
import { contentEncodingOf } from './request-body.js';
import type { RowStructures } from './row-structures.js';
import type { Sessions } from './sessions.js';
import type { Slots } from './slots.js';
import type { SpooledBody } from './spool.js';
import { CLICKHOUSE_GO_HELLO, type InsertStatement } from './statement.js';
import { authenticate, type FrontUser } from './users.js';

export interface FrontParts extends AskReading {
  readonly users: readonly FrontUser[];
  readonly slots: Slots;
  readonly sessions: Sessions;
  readonly structures: RowStructures;
  readonly killer: QueryKiller;
  readonly log: QueryLog;
  readonly hello: HelloFacts;
}

interface Cost {
  readRows: number;
  readBytes: number;
  resultBytes: number;
  fault: Error | undefined;
}

export async function serveQuery(
  parts: FrontParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAtMs = Date.now();
  const from = performance.now();
  const parameters = new URL(request.url ?? '/', 'http://front').searchParams;
  const queryId = parameters.get('query_id') ?? randomUUID();
  response.setHeader('X-ClickHouse-Query-Id', queryId);
  response.setHeader('X-ClickHouse-Server-Display-Name', 'poolmeter embedded');
  response.setHeader('X-ClickHouse-Timezone', 'UTC');
  const cost: Cost = { readRows: 0, readBytes: 0, resultBytes: 0, fault: undefined };
  let user = '';
  let text = '';
  try {
    const asker = authenticate(parts.users, request.headers, parameters);
    user = asker.name;
    const ask = await readAsk(parts, request, parameters, asker, (sql) => (text = sql));
    try {
      await answer(parts, { request, response, from, cost }, ask);
    } finally {
      await ask.rows?.remove();
    }
  } catch (thrown) {
    cost.fault = asFrontError(thrown);
    sendFault(response, cost.fault);
    request.resume();
  } finally {
    parts.log.write({
      startedAtMs,
      queryId,
      user,
      userAgent: request.headers['user-agent'] ?? '',
      logComment: parameters.get('log_comment') ?? '',
      query: text,
      durationMs: performance.now() - from,
      readRows: cost.readRows,
      readBytes: cost.readBytes,
      resultBytes: cost.resultBytes,
      exceptionCode: cost.fault === undefined ? 0 : clickhouseCodeOf(cost.fault),
    });
  }
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly from: number;
  readonly cost: Cost;
}

async function answer(parts: FrontParts, exchange: Exchange, ask: Ask): Promise<void> {
  const { response } = exchange;
  const clientRevision = Number(ask.parameters.get('client_protocol_version') ?? 0);
  if (clientRevision > 0 && CLICKHOUSE_GO_HELLO.test(ask.text)) {
    response.setHeader('X-ClickHouse-Format', 'Native');
    response.setHeader('Content-Type', 'application/octet-stream');
    response.end(helloBlock(parts.hello, clientRevision));
    return;
  }
  if (ask.rows?.bytes === 0) {
    await sendWhole(
      response,
      Buffer.alloc(0),
      { format: 'TabSeparated', gzip: false },
      summaryOf(exchange, true),
    );
    return;
  }
  const releaseSlot = await parts.slots.take();
  try {
    if (response.destroyed) throw new FrontError(394, 'QUERY_WAS_CANCELLED', 'The client went away');
    await onConnection(parts, exchange, ask);
  } finally {
    releaseSlot();
  }
}

async function onConnection(parts: FrontParts, exchange: Exchange, ask: Ask): Promise<void> {
  const { parameters, user } = ask;
  const sessionId = user.mayOnlyRead ? undefined : (parameters.get('session_id') ?? undefined);
  const borrowed = parts.sessions.borrow({
    user: user.name,
    sessionId,
    timeoutS: Number(parameters.get('session_timeout') ?? 60),
    mustExist: parameters.get('session_check') === '1',
  });
  const running = parts.killer.watch(exchange.response);
  try {
    const settings = settingsFor(parts, ask, exchange.request, running.tag, sessionId !== undefined);
    const database = parameters.get('database') ?? headerText(exchange.request, 'x-clickhouse-database');
    await borrowed.connection.run(preparingStatements(database, settings).join('; '));
    await run(borrowed.connection, exchange, {
      ...ask,
      structures: parts.structures,
      database: database ?? '',
    });
  } finally {
    running.ended();
    borrowed.release();
  }
}

function settingsFor(
  parts: FrontParts,
  ask: Ask,
  request: IncomingMessage,
  tag: string,
  inSession: boolean,
): RequestSettings {
  const asked = requestSettings(ask.parameters);
  const settings = ask.user.mayOnlyRead ? parts.guard.settings(asked.settings) : asked.settings;
  settings.set('log_comment', tag);
  // In a session the switch would stay; there the first word of the statement was checked instead.
  if (request.method === 'GET' && !inSession && !settings.has('readonly')) settings.set('readonly', '2');
  return { settings, parameters: asked.parameters };
}

interface PlacedAsk extends Ask {
  readonly structures: RowStructures;
  /** '' for the one that the connection uses. */
  readonly database: string;
}

async function run(connection: EngineConnection, exchange: Exchange, ask: PlacedAsk): Promise<void> {
  const { response, request, cost } = exchange;
  const { statement, parameters } = ask;
  if (statement.kind === 'insert') {
    const structure = await ask.structures.find(connection, statement, ask.database);
    const result = await connection.run(insertFromSpool(statement, ask.rows, { request, structure }));
    cost.readRows = result.rowsRead;
    cost.readBytes = result.bytesRead;
    const shape = { format: 'TabSeparated', gzip: false };
    await sendWhole(response, result.bytes, shape, summaryOf(exchange, true));
    return;
  }
  const format = formatOf(ask, request);
  const shape: AnswerShape = { format, gzip: wantsGzip(request, parameters) };
  if (statement.kind === 'read' && isStreamable(format) && parameters.get('wait_end_of_query') !== '1') {
    const sent = await sendStream(response, connection.stream(statement.sql, format), shape);
    cost.resultBytes = sent.bytes;
    cost.fault = sent.fault;
    return;
  }
  const result = await connection.run(statement.sql, format);
  if (statement.kind === 'other') ask.structures.forget();
  cost.readRows = result.rowsRead;
  cost.readBytes = result.bytesRead;
  cost.resultBytes = result.bytes.length;
  await sendWhole(response, result.bytes, shape, summaryOf(exchange, false));
}

/** One block per insert, so that a view over it groups all of its rows at once and each table gets one part. */
const ONE_BLOCK = 'max_block_size = 1048449';

function insertFromSpool(
  statement: InsertStatement,
  rows: SpooledBody | undefined,
  from: { readonly request: IncomingMessage; readonly structure: string | undefined },
): string {
  if (rows === undefined) throw new FrontError(1001, 'STD_EXCEPTION', 'The rows of an INSERT are missing');
  const isGzip = statement.inlineData === '' && contentEncodingOf(from.request) === 'gzip';
  const compression = isGzip ? "'gzip'" : "'none'";
  const { head, settings, format } = statement;
  if (from.structure === undefined) {
    return `${head} FROM INFILE ${literal(rows.path)} COMPRESSION ${compression}${settings} FORMAT ${format}`;
  }
  const file = `file(${literal(rows.path)}, '${format}', ${literal(from.structure)}, ${compression})`;
  return `${head}${settings} SELECT * FROM ${file}${settings === '' ? ` SETTINGS ${ONE_BLOCK}` : ''}`;
}

function formatOf(ask: Ask, request: IncomingMessage): string {
  const own = ask.statement.kind === 'insert' ? undefined : ask.statement.format;
  return (
    own ??
    ask.parameters.get('default_format') ??
    headerText(request, 'x-clickhouse-format') ??
    'TabSeparated'
  );
}

/** clickhouse-go accepts gzip without asking for it by the setting; then it is not sent. */
function wantsGzip(request: IncomingMessage, parameters: URLSearchParams): boolean {
  const accepted = headerText(request, 'accept-encoding') ?? '';
  return parameters.get('enable_http_compression') === '1' && /\bgzip\b/.test(accepted);
}

function headerText(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function summaryOf(exchange: Exchange, isInsert: boolean) {
  return {
    readRows: exchange.cost.readRows,
    readBytes: exchange.cost.readBytes,
    isInsert,
    elapsedMs: performance.now() - exchange.from,
  };
}
