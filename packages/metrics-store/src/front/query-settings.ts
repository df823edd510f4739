/** Sorts the parameters of a request's URL: what the HTTP server means for itself, settings, query parameters. */
import { FrontError } from './clickhouse-error.js';

/** Understood by the HTTP interface, unknown to the engine. */
const HTTP_ONLY = new Set([
  'wait_end_of_query',
  'send_progress_in_http_headers',
  'buffer_size',
  'http_response_buffer_size',
  'http_headers_progress_interval_ms',
  'enable_http_compression',
  'http_zlib_compression_level',
  'compress',
  'decompress',
  'cancel_http_readonly_queries_on_client_close',
  'http_write_exception_in_output_format',
  'client_protocol_version',
]);

const RESERVED = new Set([
  'query',
  'database',
  'default_format',
  'query_id',
  'session_id',
  'session_timeout',
  'session_check',
  'user',
  'password',
  'role',
  'quota_key',
  'add_http_cors_header',
  // The front puts its own tag there, by which it finds the query again; the client's goes to the query log.
  'log_comment',
]);

export interface RequestSettings {
  readonly settings: Map<string, string>;
  readonly parameters: Map<string, string>;
}

export function requestSettings(parameters: URLSearchParams): RequestSettings {
  const found: RequestSettings = { settings: new Map(), parameters: new Map() };
  for (const [name, value] of parameters) {
    if (name.startsWith('param_')) found.parameters.set(name, value);
    else if (!RESERVED.has(name) && !HTTP_ONLY.has(name)) found.settings.set(name, value);
  }
  return found;
}

/** Long parameters need more room than the parser's 256 KiB. */
const LONG_PARAMETER = 100_000;

/** Statements that prepare a fresh connection, in order; the read-only switch comes last because it locks the rest. */
export function preparingStatements(
  database: string | undefined,
  { settings, parameters }: RequestSettings,
): string[] {
  const { readonly, ...rest } = Object.fromEntries(settings) as Record<string, string>;
  const isLong = [...parameters.values()].some((value) => value.length > LONG_PARAMETER);
  return [
    ...(database === undefined || database === '' ? [] : [`USE ${quotedName(database)}`]),
    ...(isLong ? ['SET max_query_size = 104857600'] : []),
    ...setStatement(parameters),
    ...setStatement(Object.entries(rest)),
    ...(readonly === undefined ? [] : setStatement([['readonly', readonly]])),
  ];
}

function setStatement(assignments: Iterable<readonly [string, string]>): string[] {
  const list = [...assignments].map(([name, value]) => `${identifier(name)} = ${literal(value)}`);
  return list.length === 0 ? [] : [`SET ${list.join(', ')}`];
}

export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function identifier(name: string): string {
  if (/^[A-Za-z_]\w*$/.test(name)) return name;
  throw new FrontError(36, 'BAD_ARGUMENTS', `${JSON.stringify(name)} is not the name of a setting`);
}

function quotedName(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
