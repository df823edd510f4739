/** A secret that stands in the settings or in a file; the file is read each time, because tokens are renewed there. */
import { readFile } from 'node:fs/promises';
import { messageOf, PoolmeterError } from '@poolmeter/domain';

export type SecretSource = () => Promise<string | undefined>;

export function secretSource(given: {
  readonly text: string | undefined;
  readonly file: string | undefined;
}): SecretSource {
  const { text, file } = given;
  if (file === undefined) return () => Promise.resolve(text);
  return async () => {
    try {
      return (await readFile(file, 'utf8')).trim();
    } catch (cause) {
      throw new PoolmeterError(
        'config.invalid',
        `The secret in ${file} cannot be read: ${messageOf(cause)}. Write it there, readable by this process.`,
        { cause },
      );
    }
  };
}
