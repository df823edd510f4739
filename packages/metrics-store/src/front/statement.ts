/** What a request asks for: read, insert with data, hello of clickhouse-go, or any other statement. */
import { FrontError } from './clickhouse-error.js';
import { sqlTokens, type SqlToken } from './sql-tokens.js';

export interface InsertStatement {
  readonly kind: 'insert';
  /** `INSERT INTO t (a, b)`, up to SETTINGS or FORMAT. */
  readonly head: string;
  /** ` SETTINGS …` or ''. */
  readonly settings: string;
  readonly format: string;
  /** Rows that stand in the statement itself; '' when the body brings them. */
  readonly inlineData: string;
}

export interface PlainStatement {
  readonly kind: 'read' | 'other';
  readonly sql: string;
  /** The format that the statement names itself. */
  readonly format: string | undefined;
  readonly firstWord: string;
  readonly tokens: readonly SqlToken[];
}

export type Statement = InsertStatement | PlainStatement;

/** clickhouse-go's first question on every connection. */
export const CLICKHOUSE_GO_HELLO =
  /^\s*SELECT\s+displayName\(\)\s*,\s*version\(\)\s*,\s*revision\(\)\s*,\s*timezone\(\)\s*;?\s*$/i;

export function parseStatement(sql: string): Statement {
  const tokens: SqlToken[] = [];
  let isInsert = false;
  for (const token of sqlTokens(sql)) {
    tokens.push(token);
    if (tokens.length === 1) isInsert = token.text === 'INSERT';
    const insert = isInsert ? insertAt(sql, tokens) : undefined;
    if (insert !== undefined) return insert;
  }
  if (tokens.length === 0) throw new FrontError(62, 'SYNTAX_ERROR', 'Empty query');
  return plainStatement(sql, tokens);
}

/** The INSERT that ends with the newest token, when that token is the one after which data begins. */
function insertAt(sql: string, tokens: readonly SqlToken[]): InsertStatement | undefined {
  const last = tokens.at(-1);
  const before = tokens.at(-2);
  if (last === undefined || before === undefined || last.depth !== 0) return undefined;
  if (last.kind === 'word' && last.text === 'VALUES' && before.text !== 'FORMAT') {
    return insertStatement(sql, tokens, { from: last.start, format: 'Values', dataFrom: last.end });
  }
  const isFormat = before.kind === 'word' && before.text === 'FORMAT' && before.depth === 0;
  if (!isFormat || last.kind !== 'word') return undefined;
  const format = sql.slice(last.start, last.end);
  return insertStatement(sql, tokens, { from: before.start, format, dataFrom: last.end });
}

function insertStatement(
  sql: string,
  tokens: readonly SqlToken[],
  end: { from: number; format: string; dataFrom: number },
): InsertStatement | undefined {
  if (tokens.some((token) => token.depth === 0 && isWord(token, 'SELECT', 'WITH', 'WATCH'))) return undefined;
  refuseInfile(tokens);
  const settings = tokens.find((token) => token.depth === 0 && isWord(token, 'SETTINGS'));
  const headEnd = settings?.start ?? end.from;
  return {
    kind: 'insert',
    head: sql.slice(0, headEnd).trim(),
    settings: settings === undefined ? '' : ` ${sql.slice(settings.start, end.from).trim()}`,
    format: end.format,
    inlineData: inlineDataOf(sql.slice(end.dataFrom), end.format),
  };
}

const TEXT_FORMAT = /^(Values|JSON|CSV|TSV|TabSeparated|LineAsString|NDJSON)/;

/** Text may follow its format in the statement, as people type it; binary rows must come as a body of their own. */
function inlineDataOf(rest: string, format: string): string {
  const data = /^\s*;?\s*$/.test(rest) ? '' : rest.replace(/^[ \t]*\r?\n?/, '');
  if (data !== '' && !TEXT_FORMAT.test(format)) {
    throw new FrontError(
      48,
      'NOT_IMPLEMENTED',
      `Send ${format} data as the body, with the statement in ?query=`,
    );
  }
  return format === 'Values' ? data.replace(/;\s*$/, '') : data;
}

function plainStatement(sql: string, tokens: SqlToken[]): PlainStatement {
  const semicolon = tokens.findIndex((token) => token.kind === 'mark' && token.text === ';');
  const own = semicolon === -1 ? tokens : tokens.slice(0, semicolon);
  if (semicolon !== -1 && tokens.slice(semicolon).some((token) => token.text !== ';')) {
    throw new FrontError(62, 'SYNTAX_ERROR', 'Multi-statements are not allowed');
  }
  const firstWord = own.find((token) => token.text !== '(')?.text;
  if (firstWord === undefined) throw new FrontError(62, 'SYNTAX_ERROR', 'Empty query');
  refuseInfile(own);
  if (
    firstWord === 'INSERT' &&
    own.some((token, index) => isCall(own, index, 'INPUT') && token.depth === 0)
  ) {
    throw new FrontError(48, 'NOT_IMPLEMENTED', 'input() loses its rows in this engine: insert without it');
  }
  return {
    kind: isRead(firstWord, own) ? 'read' : 'other',
    sql: sql.slice(0, own.at(-1)?.end ?? 0),
    format: formatOf(sql, own),
    firstWord,
    tokens: own,
  };
}

function isRead(firstWord: string, tokens: readonly SqlToken[]): boolean {
  if (firstWord === 'SELECT') return true;
  return firstWord === 'WITH' && !tokens.some((token) => token.depth === 0 && isWord(token, 'INSERT'));
}

/** `… FORMAT X`, at the end or before SETTINGS; a column that is called format is not meant. */
function formatOf(sql: string, tokens: readonly SqlToken[]): string | undefined {
  for (let index = tokens.length - 2; index >= 0; index -= 1) {
    const [token, name, next] = [tokens[index], tokens[index + 1], tokens[index + 2]];
    if (token === undefined || name === undefined) continue;
    const isLast = next === undefined || isWord(next, 'SETTINGS');
    if (token.depth === 0 && isWord(token, 'FORMAT') && name.kind === 'word' && isLast) {
      return sql.slice(name.start, name.end);
    }
  }
  return undefined;
}

export function isWord(token: SqlToken, ...words: readonly string[]): boolean {
  return token.kind === 'word' && words.includes(token.text);
}

/** A function call: the name, quoted or not, and an opening parenthesis after it. */
export function isCall(tokens: readonly SqlToken[], index: number, name: string): boolean {
  const token = tokens[index];
  const next = tokens[index + 1];
  if (token === undefined || next?.text !== '(') return false;
  return (token.kind === 'word' || token.kind === 'name') && token.text.toUpperCase() === name;
}

/** Files of the server's machine are read and written by the front alone. */
function refuseInfile(tokens: readonly SqlToken[]): void {
  const found = tokens.find((token) => token.depth === 0 && isWord(token, 'INFILE', 'OUTFILE'));
  if (found !== undefined) {
    throw new FrontError(
      48,
      'NOT_IMPLEMENTED',
      `${found.text} is for clients: send or read the body instead`,
    );
  }
}
