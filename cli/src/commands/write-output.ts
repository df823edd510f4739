import { writeFile } from 'node:fs/promises';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { Terminal } from '../command-context.js';

/** Into the file, or to stdout when none is named. */
export async function writeOutput(
  content: string | Uint8Array,
  { out, terminal }: { out: string | undefined; terminal: Terminal },
): Promise<void> {
  if (out === undefined) {
    terminal.write(typeof content === 'string' ? content : Buffer.from(content).toString('utf8'));
    return;
  }
  try {
    await writeFile(out, content);
  } catch (cause) {
    throw new PoolmeterError('input.invalid', `${out} cannot be written: ${messageOf(cause)}.`, { cause });
  }
}
