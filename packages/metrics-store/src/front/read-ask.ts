/** Reads what a request asks for: its statement, and for an INSERT the rows, which go to the spool. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { FrontError } from './clickhouse-error.js';
import { multipartFields } from './multipart.js';
import type { ReaderGuard } from './reader-guard.js';
import { contentEncodingOf, decodedBody, readBody } from './request-body.js';
import type { Spool, SpooledBody } from './spool.js';
import { parseStatement, type InsertStatement, type Statement } from './statement.js';
import type { FrontUser } from './users.js';

export interface AskReading {
  readonly spool: Spool;
  readonly guard: ReaderGuard;
  /** SQL text and parameters, in bytes. */
  readonly maxStatementBytes: number;
}

/** What is known about a request before it runs. */
export interface Ask {
  readonly parameters: URLSearchParams;
  readonly user: FrontUser;
  readonly statement: Statement;
  readonly text: string;
  readonly rows: SpooledBody | undefined;
}

const READING_FIRST_WORDS = new Set([
  'SELECT',
  'WITH',
  'SHOW',
  'DESCRIBE',
  'DESC',
  'EXISTS',
  'EXPLAIN',
  'SET',
  'USE',
]);

/** Reads the statement and, for an INSERT, spools its rows. The user's rights are checked before a byte is spooled. */
export async function readAsk(
  parts: AskReading,
  request: IncomingMessage,
  parameters: URLSearchParams,
  user: FrontUser,
  onText: (sql: string) => void,
): Promise<Ask> {
  if (parameters.get('decompress') === '1' || parameters.get('compress') === '1') {
    throw new FrontError(
      48,
      'NOT_IMPLEMENTED',
      'compress and decompress are not understood: use gzip over HTTP',
    );
  }
  let text = parameters.get('query') ?? '';
  const contentType = request.headers['content-type'] ?? '';
  const isMultipart = contentType.startsWith('multipart/form-data');
  if (isMultipart) {
    const body = await readBody(decodedBody(request), parts.maxStatementBytes);
    for (const [name, value] of multipartFields(body, contentType)) {
      if (name === 'query') text = value;
      else if (name.startsWith('param_')) parameters.set(name, value);
    }
  }
  let statement = text.trim() === '' ? undefined : parseStatement(text);
  const bodyIsRows = statement?.kind === 'insert' && request.method !== 'GET' && !isMultipart;
  if (!bodyIsRows && !isMultipart && request.method !== 'GET') {
    const body = (await readBody(decodedBody(request), parts.maxStatementBytes)).toString('utf8');
    text = [text, body].filter((part) => part !== '').join('\n');
    statement = undefined;
  }
  onText(text);
  statement ??= parseStatement(text);
  checkRights(parts, request, user, statement);
  const rows =
    statement.kind === 'insert' ? await spoolRows(parts, request, statement, bodyIsRows) : undefined;
  return { parameters, user, statement, text, rows };
}

function checkRights(
  parts: AskReading,
  request: IncomingMessage,
  user: FrontUser,
  statement: Statement,
): void {
  if (user.mayOnlyRead) parts.guard.checkStatement(statement);
  if (request.method !== 'GET') return;
  if (statement.kind === 'insert' || !READING_FIRST_WORDS.has(statement.firstWord)) {
    throw new FrontError(164, 'READONLY', 'Cannot execute query in readonly mode: GET only reads, use POST');
  }
}

async function spoolRows(
  parts: AskReading,
  request: IncomingMessage,
  statement: InsertStatement,
  bodyIsRows: boolean,
): Promise<SpooledBody> {
  if (!bodyIsRows) return parts.spool.write(Readable.from([Buffer.from(statement.inlineData)]));
  if (statement.inlineData === '') {
    // The engine inflates gzip itself.
    return parts.spool.write(contentEncodingOf(request) === 'gzip' ? request : decodedBody(request));
  }
  const body = decodedBody(request);
  return parts.spool.write(Readable.from(joined(Buffer.from(statement.inlineData), body)));
}

async function* joined(head: Buffer, rest: Readable): AsyncGenerator<Buffer, void> {
  yield head;
  yield* rest as AsyncIterable<Buffer>;
}
