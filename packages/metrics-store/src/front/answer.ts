/** Writes results and errors as ClickHouse's HTTP server does, so that its clients read them. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { createGzip, gzip } from 'node:zlib';
import { promisify } from 'node:util';
import { asFrontError, clickhouseCodeOf, httpStatusOf } from './clickhouse-error.js';

/** Formats whose chunks have neither header nor footer, so that they may be sent as they come. */
const STREAMABLE = new Set([
  'JSONEachRow',
  'JSONCompactEachRow',
  'JSONLines',
  'NDJSON',
  'JSONStringsEachRow',
  'JSONCompactStringsEachRow',
  'TSV',
  'TabSeparated',
  'CSV',
  'RowBinary',
  'Native',
]);

export function isStreamable(format: string): boolean {
  return STREAMABLE.has(format);
}

export interface AnswerShape {
  readonly format: string;
  readonly gzip: boolean;
}

export interface Summary {
  readonly readRows: number;
  readonly readBytes: number;
  readonly isInsert: boolean;
  readonly elapsedMs: number;
}

export function summaryHeader(summary: Summary): string {
  const rows = String(summary.readRows);
  const bytes = String(summary.readBytes);
  return JSON.stringify({
    read_rows: rows,
    read_bytes: bytes,
    written_rows: summary.isInsert ? rows : '0',
    written_bytes: summary.isInsert ? bytes : '0',
    total_rows_to_read: '0',
    result_rows: '0',
    result_bytes: '0',
    elapsed_ns: String(Math.round(summary.elapsedMs * 1e6)),
  });
}

export async function sendWhole(
  response: ServerResponse,
  body: Buffer,
  shape: AnswerShape,
  summary: Summary,
): Promise<void> {
  setHeaders(response, { ...shape, gzip: shape.gzip && body.length > 0 });
  response.setHeader('X-ClickHouse-Summary', summaryHeader(summary));
  response.end(shape.gzip && body.length > 0 ? await promisify(gzip)(body, { level: 1 }) : body);
}

/**
 * Sends chunks as they come. An error after the first byte can no longer change the status, so it is put at the end of
 * the body in the form that clients look for. Returns the number of bytes and the error, if there was one.
 */
export async function sendStream(
  response: ServerResponse,
  chunks: AsyncGenerator<Buffer, void>,
  shape: AnswerShape,
): Promise<{ bytes: number; fault: Error | undefined }> {
  const first = await chunks.next();
  const tag = randomBytes(8).toString('hex');
  setHeaders(response, shape);
  response.setHeader('X-ClickHouse-Exception-Tag', tag);
  const out = shape.gzip ? createGzip({ level: 1 }) : response;
  if (out !== response) out.pipe(response);
  let bytes = 0;
  let fault: Error | undefined;
  try {
    for (let step = first; step.done !== true; step = await chunks.next()) {
      if (response.destroyed) break;
      bytes += step.value.length;
      if (!out.write(step.value)) await drainedOrClosed(out, response);
    }
  } catch (thrown) {
    fault = asFrontError(thrown);
  } finally {
    await chunks.return();
  }
  out.end(fault === undefined ? undefined : exceptionTrailer(fault.message, tag));
  return { bytes, fault };
}

/** `\r\n__exception__\r\n<tag>\r\n<message>\n<length> <tag>\r\n__exception__\r\n` */
function exceptionTrailer(message: string, tag: string): string {
  const text = message.trimEnd();
  const length = Buffer.byteLength(text) + 1;
  return `\r\n__exception__\r\n${tag}\r\n${text}\n${length} ${tag}\r\n__exception__\r\n`;
}

async function drainedOrClosed(out: Writable, response: ServerResponse): Promise<void> {
  const done = new AbortController();
  try {
    // The one that loses the race is aborted, which is not a fault.
    await Promise.race([
      once(out, 'drain', { signal: done.signal }),
      once(response, 'close', { signal: done.signal }),
    ]);
  } finally {
    done.abort();
  }
}

export function sendFault(response: ServerResponse, fault: Error): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const code = clickhouseCodeOf(fault);
  response.statusCode = httpStatusOf(code);
  for (const name of ['Content-Encoding', 'X-ClickHouse-Format']) response.removeHeader(name);
  response.setHeader('X-ClickHouse-Exception-Code', String(code));
  response.setHeader('Content-Type', 'text/plain; charset=UTF-8');
  response.end(fault.message.endsWith('\n') ? fault.message : `${fault.message}\n`);
}

function setHeaders(response: ServerResponse, shape: AnswerShape): void {
  response.setHeader('X-ClickHouse-Format', shape.format);
  response.setHeader('Content-Type', contentTypeOf(shape.format));
  if (shape.gzip) response.setHeader('Content-Encoding', 'gzip');
}

function contentTypeOf(format: string): string {
  if (/^JSON(Compact|Strings|ColumnsWithMetadata|CompactStrings)?$/.test(format)) {
    return 'application/json; charset=UTF-8';
  }
  if (/JSON/.test(format)) return 'application/x-ndjson; charset=UTF-8';
  if (format.startsWith('CSV')) return 'text/csv; charset=UTF-8';
  if (/^T(SV|ab)/.test(format)) return 'text/tab-separated-values; charset=UTF-8';
  return 'application/octet-stream';
}
