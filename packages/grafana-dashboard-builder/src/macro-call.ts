/** Finding `name(arguments)` in SQL: arguments may hold brackets, commas in brackets, and quoted text. */

export interface MacroCall {
  readonly args: readonly string[];
  /** Index after the closing bracket. */
  readonly end: number;
}

/** Reads the arguments of a call whose opening bracket stands at `open`; undefined when it is never closed. */
export function readArguments(sql: string, open: number): MacroCall | undefined {
  const args: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let index = open; index < sql.length; index += 1) {
    const character = sql.charAt(index);
    if (character === "'" || character === '"' || character === '`') index = endOfQuoted(sql, index);
    else if (character === '(' || character === '[') depth += 1;
    else if (character === ',' && depth === 1) {
      args.push(sql.slice(start, index));
      start = index + 1;
    } else if (character === ')' || character === ']') {
      depth -= 1;
      if (depth === 0)
        return { args: [...args, sql.slice(start, index)].map((arg) => arg.trim()), end: index + 1 };
    }
  }
  return undefined;
}

/** Index of the quote that ends the text begun at `start`, or of the last character. */
function endOfQuoted(sql: string, start: number): number {
  const quote = sql.charAt(start);
  for (let index = start + 1; index < sql.length; index += 1) {
    if (sql.charAt(index) === '\\') index += 1;
    else if (sql.charAt(index) === quote) return index;
  }
  return sql.length - 1;
}
