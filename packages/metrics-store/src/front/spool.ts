/**
 * Where the rows of an INSERT wait for the engine. Rows that stand in the statement would end at the first blank line,
 * and what follows would run as SQL; from a file they are read to the last byte, whatever they hold.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { limited } from './request-body.js';

export interface SpooledBody {
  readonly path: string;
  readonly bytes: number;
  remove(): Promise<void>;
}

export interface Spool {
  write(body: Readable): Promise<SpooledBody>;
}

const FILE = /^[0-9a-f-]{36}\.body$/;

/** Call it when the folder's owner is certain: what an earlier process left behind is removed. */
export function openSpool(directory: string, limitBytes: number): Spool {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(directory)) if (FILE.test(name)) rmSync(join(directory, name));
  return {
    write: async (body) => {
      const path = join(directory, `${randomUUID()}.body`);
      const remove = () => rm(path, { force: true });
      try {
        await pipeline(
          Readable.from(limited(body, limitBytes), { objectMode: false }),
          createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: 1_048_576 }),
        );
        return { path, bytes: (await stat(path)).size, remove };
      } catch (fault) {
        await remove();
        throw fault;
      }
    },
  };
}
