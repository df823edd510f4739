/** Cuts SQL into tokens, so that words inside strings, quoted names and comments are never taken for the statement's own. */

export interface SqlToken {
  readonly kind: 'word' | 'name' | 'string' | 'number' | 'mark';
  /** Words in upper case, names without their quotes, everything else as written. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Parentheses that are open around it. */
  readonly depth: number;
}

const SPACE = /\s+/y;
const LINE_COMMENT = /(--|#!|# )[^\n]*/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /\d[0-9A-Za-z_.]*/y;
const HEREDOC = /\$([A-Za-z0-9_]*)\$/y;

/** Yields the tokens one after the other, so that a caller may stop where an INSERT's data begins. */
export function* sqlTokens(sql: string): Generator<SqlToken, void> {
  let at = 0;
  let depth = 0;
  while (at < sql.length) {
    const skipped = afterSpaceAndComments(sql, at);
    if (skipped > at) {
      at = skipped;
      continue;
    }
    const [kind, end] = tokenAt(sql, at);
    const raw = sql.slice(at, end);
    if (raw === ')') depth = Math.max(0, depth - 1);
    yield { kind, text: readable(kind, raw), start: at, end, depth };
    if (raw === '(') depth += 1;
    at = end;
  }
}

export function afterSpaceAndComments(sql: string, from: number): number {
  let at = from;
  for (;;) {
    const next = matchEnd(SPACE, sql, at) ?? matchEnd(LINE_COMMENT, sql, at) ?? blockCommentEnd(sql, at);
    if (next === undefined) return at;
    at = next;
  }
}

function tokenAt(sql: string, at: number): [SqlToken['kind'], number] {
  const first = sql[at];
  if (first === "'") return ['string', quotedEnd(sql, at, first)];
  if (first === '`' || first === '"') return ['name', quotedEnd(sql, at, first)];
  const heredoc = heredocEnd(sql, at);
  if (heredoc !== undefined) return ['string', heredoc];
  const word = matchEnd(WORD, sql, at);
  if (word !== undefined) return ['word', word];
  const number = matchEnd(NUMBER, sql, at);
  return number === undefined ? ['mark', at + 1] : ['number', number];
}

function readable(kind: SqlToken['kind'], raw: string): string {
  if (kind === 'word') return raw.toUpperCase();
  return kind === 'name' ? raw.slice(1, -1) : raw;
}

function matchEnd(pattern: RegExp, sql: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(sql) ? pattern.lastIndex : undefined;
}

/** The end of a quoted text: a backslash escapes, a doubled quote stands for itself. */
function quotedEnd(sql: string, at: number, quote: string): number {
  for (let index = at + 1; index < sql.length; index += 1) {
    if (sql[index] === '\\') index += 1;
    else if (sql[index] === quote) {
      if (sql[index + 1] !== quote) return index + 1;
      index += 1;
    }
  }
  return sql.length;
}

/** Block comments nest in ClickHouse. */
function blockCommentEnd(sql: string, at: number): number | undefined {
  if (!sql.startsWith('/*', at)) return undefined;
  let open = 0;
  for (let index = at; index < sql.length; index += 1) {
    if (sql.startsWith('/*', index)) {
      open += 1;
      index += 1;
    } else if (sql.startsWith('*/', index)) {
      open -= 1;
      index += 1;
      if (open === 0) return index + 1;
    }
  }
  return sql.length;
}

function heredocEnd(sql: string, at: number): number | undefined {
  HEREDOC.lastIndex = at;
  const tag = HEREDOC.exec(sql)?.[0];
  if (tag === undefined) return undefined;
  const end = sql.indexOf(tag, at + tag.length);
  return end === -1 ? sql.length : end + tag.length;
}
