/** Reads a YAML file against a schema and says of every fault on which line it stands. */
import { PoolmeterError } from '@poolmeter/domain';
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';

interface FileFault {
  readonly line: number;
  readonly path: string;
  readonly message: string;
}

/** The checked content, or `input.invalid` with every fault and its line. `name` is the file's, for messages. */
export function readYamlDocument<S extends z.ZodType>(
  text: string,
  { schema, name }: { readonly schema: S; readonly name: string },
): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntax = document.errors.map((error): FileFault => ({
    line: lines.linePos(error.pos[0]).line,
    path: '',
    message: error.message,
  }));
  if (syntax.length > 0) throw fileFault(name, syntax);
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  throw fileFault(
    name,
    parsed.error.issues.map((issue) => ({
      line: lineOf(document, issue.path, lines),
      path: issue.path.map(String).join('.'),
      message: issue.message,
    })),
  );
}

/** The line of the value itself, or of the nearest thing around it that is there. */
function lineOf(document: Document, path: readonly PropertyKey[], lines: LineCounter): number {
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range !== undefined && node.range !== null)
      return lines.linePos(node.range[0]).line;
  }
  return 1;
}

function fileFault(name: string, faults: readonly FileFault[]): PoolmeterError {
  const list = faults.map(
    ({ line, path, message }) => `${name}:${line}: ${path === '' ? '' : `${path}: `}${message}`,
  );
  return new PoolmeterError('input.invalid', `${list.join('; ')}.`.replace(/\.+$/, '.'), {
    details: {
      errors: faults.map(({ line, path, message }) => ({
        path: `line ${line}${path === '' ? '' : ` ${path}`}`,
        message,
      })),
    },
  });
}
