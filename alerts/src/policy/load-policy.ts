/** Reads a fault policy from YAML; every fault of the text is reported at once, with its line. */
import { readFileSync } from 'node:fs';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { LineCounter, parseDocument, type Document } from 'yaml';
import { faultPolicySchema, type FaultPolicy } from './fault-policy.js';

/** The policy that is used when the operator names no other. */
export const defaultPolicyFile = new URL('../../policy/default.yaml', import.meta.url);

export function loadFaultPolicy(file: URL | string): FaultPolicy {
  const name = file instanceof URL ? file.pathname : file;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new PoolmeterError(
      'config.invalid',
      `The fault policy ${name} cannot be read: ${messageOf(cause)}.`,
      {
        details: { path: name },
        cause,
      },
    );
  }
  return parseFaultPolicy(text, name);
}

export interface PolicyFinding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** `name` stands in error messages: the file's path. */
export function parseFaultPolicy(text: string, name: string): FaultPolicy {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    const findings = document.errors.map((error) => ({
      path: '',
      line: lines.linePos(error.pos[0]).line,
      message: error.message.split('\n')[0] ?? 'is not YAML',
    }));
    throw refused(name, findings);
  }
  const parsed = faultPolicySchema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  const findings = parsed.error.issues.map((issue) => ({
    path: issue.path.join('.'),
    line: lineOf(document, { path: issue.path, lines }),
    message: issue.message,
  }));
  throw refused(name, findings);
}

function lineOf(document: Document, where: { path: readonly PropertyKey[]; lines: LineCounter }): number {
  for (let length = where.path.length; length >= 0; length -= 1) {
    const node: unknown = document.getIn(where.path.slice(0, length), true);
    const range = (node as { range?: readonly number[] } | undefined)?.range;
    if (range?.[0] !== undefined) return where.lines.linePos(range[0]).line;
  }
  return 1;
}

function refused(name: string, findings: readonly PolicyFinding[]): PoolmeterError {
  const list = findings.map((one) => `line ${one.line} ${one.path}: ${one.message}`.replace(' :', ':'));
  return new PoolmeterError('config.invalid', `The fault policy ${name} is wrong: ${list.join('; ')}.`, {
    details: { path: name, findings },
  });
}
