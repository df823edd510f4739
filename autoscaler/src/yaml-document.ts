/** YAML that people write, checked against a schema, with every fault and the line that it is in. */
import { PoolmeterError } from '@poolmeter/domain';
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';

/** Throws `config.invalid` that names the file, the lines and all faults at once. */
export function parseYaml<S extends z.ZodType>(
  schema: S,
  source: { text: string; name: string },
): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(source.text, { lineCounter: lines, uniqueKeys: true });
  const syntax = document.errors.map((fault) => ({
    line: fault.linePos?.[0].line ?? 1,
    message: fault.message.split('\n')[0]?.replace(/ at line \d+.*$/, '') ?? fault.message,
  }));
  if (syntax.length > 0) throw faultsIn(source.name, syntax);
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  throw faultsIn(
    source.name,
    parsed.error.issues.map((issue) => ({
      line: lineOf(document, { path: issue.path, lines }),
      message: `${issue.path.join('.') || 'the file'}: ${issue.message}`,
    })),
  );
}

interface LineFault {
  readonly line: number;
  readonly message: string;
}

function faultsIn(name: string, faults: readonly LineFault[]): PoolmeterError {
  const list = faults.map((fault) => `${name}:${fault.line} ${fault.message.replace(/\.$/, '')}`);
  return new PoolmeterError('config.invalid', `${list.join('; ')}.`, { details: { faults } });
}

/** The line of the innermost part of the path that exists: a missing key is reported where it should have been. */
function lineOf(document: Document, at: { path: readonly PropertyKey[]; lines: LineCounter }): number {
  for (let length = at.path.length; length >= 0; length -= 1) {
    const node = length === 0 ? document.contents : document.getIn(at.path.slice(0, length), true);
    if (isNode(node) && node.range) return at.lines.linePos(node.range[0]).line;
  }
  return 1;
}
