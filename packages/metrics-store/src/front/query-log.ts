/**
 * What was asked, by whom, and what it cost: JSON lines in a file of bounded size, since the embedded engine keeps no
 * system.query_log. When the file is full it becomes the one with `.1` and a new one begins.
 */
import { closeSync, openSync, renameSync, fstatSync, writeSync } from 'node:fs';

export interface QueryLogEntry {
  /** When the request came, epoch milliseconds. */
  readonly startedAtMs: number;
  readonly queryId: string;
  readonly user: string;
  readonly userAgent: string;
  readonly logComment: string;
  readonly query: string;
  readonly durationMs: number;
  readonly readRows: number;
  readonly readBytes: number;
  readonly resultBytes: number;
  /** 0 = it succeeded. */
  readonly exceptionCode: number;
}

export interface QueryLog {
  write(entry: QueryLogEntry): void;
  /** Writes what is still in memory. */
  flush(): void;
  close(): void;
}

const MAX_QUERY_CHARACTERS = 2_000;
const MAX_BUFFERED_CHARACTERS = 256_000;
const FLUSH_EVERY_MS = 1_000;

export interface QueryLogOptions {
  readonly path: string;
  readonly maxFileBytes: number;
  /** Told once per fault; a log that cannot be written stops no query. */
  readonly onFault: (fault: unknown) => void;
}

export function openQueryLog(options: QueryLogOptions): QueryLog {
  let file = openSync(options.path, 'a', 0o600);
  let buffered = '';
  let lost = 0;
  const rotate = () => {
    closeSync(file);
    renameSync(options.path, `${options.path}.1`);
    file = openSync(options.path, 'a', 0o600);
  };
  const flush = () => {
    if (buffered === '') return;
    const text = lost === 0 ? buffered : `${buffered}${JSON.stringify({ lost_entries: lost })}\n`;
    try {
      writeSync(file, text);
      [buffered, lost] = ['', 0];
      if (fstatSync(file).size > options.maxFileBytes) rotate();
    } catch (fault) {
      options.onFault(fault);
    }
  };
  const timer = setInterval(flush, FLUSH_EVERY_MS);
  timer.unref();
  return {
    write: (entry) => {
      if (buffered.length < MAX_BUFFERED_CHARACTERS) buffered += lineOf(entry);
      else lost += 1;
    },
    flush,
    close: () => {
      clearInterval(timer);
      flush();
      closeSync(file);
    },
  };
}

/** Columns as in system.query_log. */
function lineOf(entry: QueryLogEntry): string {
  const line = {
    event_time: new Date(entry.startedAtMs).toISOString(),
    query_id: entry.queryId,
    user: entry.user,
    http_user_agent: entry.userAgent,
    log_comment: entry.logComment,
    query: entry.query.slice(0, MAX_QUERY_CHARACTERS),
    query_duration_ms: Math.round(entry.durationMs * 10) / 10,
    read_rows: entry.readRows,
    read_bytes: entry.readBytes,
    result_bytes: entry.resultBytes,
    exception_code: entry.exceptionCode,
  };
  return `${JSON.stringify(line)}\n`;
}
