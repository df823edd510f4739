import { readFile } from 'node:fs/promises';
import { messageOf, PoolmeterError } from '@poolmeter/domain';

/** The text of a file that the person named. */
export async function readInput(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new PoolmeterError('input.invalid', `${path} cannot be read: ${messageOf(cause)}.`, { cause });
  }
}
