/** One logger per process: JSON lines, secrets cut out, and the trace id of the span that was active. */
import { trace } from '@opentelemetry/api';
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

/** What every part of poolmeter logs through. Give fields first, then one sentence: `logger.warn({ node }, '…')`. */
export type Logger = PinoLogger;

export interface LoggerOptions {
  /** The role: `collector`, `billing`, …; a field of every line. */
  readonly service: string;
  /** A pino level or `silent`; `info` when absent. */
  readonly level?: string;
  /** Where lines go; standard output when absent. */
  readonly destination?: DestinationStream;
}

const SECRET_NAMES = [
  'password',
  'token',
  'secret',
  'authorization',
  'cookie',
  'set-cookie',
  'api_key',
  'apiKey',
];

/** Pino cuts these before a value is serialised, whatever its type, down to the third level. */
const SECRET_PATHS = SECRET_NAMES.flatMap((name) =>
  ['', '*.', '*.*.'].map((parents) =>
    name.includes('-') ? `${parents.replace(/\.$/, '')}["${name}"]` : `${parents}${name}`,
  ),
);

/**
 * Secrets also arrive inside sentences: in a driver's message, a URL, a header that somebody printed. The finished
 * line is searched for what a poolmeter token, a bearer header and a password in a URL look like.
 */
export function withoutSecrets(line: string): string {
  return line
    .replace(/\bpm_[A-Za-z0-9_-]{16,}/g, 'pm_[redacted]')
    .replace(/\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}/gi, '$1[redacted]')
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s/@:"\\]*):[^\s/@"\\]+@/gi, '$1:[redacted]@');
}

/** A logger for one role. Nothing is shared between two loggers, so tests can read their own. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level ?? 'info',
    base: { service: options.service, pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_PATHS, censor: '[redacted]' },
    mixin: activeTrace,
    hooks: { streamWrite: withoutSecrets },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

function activeTrace(): Record<string, string> {
  const span = trace.getActiveSpan()?.spanContext();
  return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
}
