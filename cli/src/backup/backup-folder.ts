/** The files of a backup: compressed, with a digest of what lies on the disk, readable by their owner only. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { ManifestFile } from './manifest.js';

/** The fastest level: the rows are read once, the disk is not the bottleneck. */
const GZIP_LEVEL = 1;

export interface BackupWriter {
  readonly write: (name: string, rows: Readable) => Promise<void>;
  /** In the order in which they were written. */
  readonly files: readonly ManifestFile[];
}

/** Creates the folder, or takes an empty one. */
export async function createBackupFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new PoolmeterError('storage.read_only', `${folder} cannot be created: ${messageOf(cause)}.`, {
      cause,
    });
  });
  if ((await readdir(folder)).length === 0) return;
  throw new PoolmeterError(
    'precondition_failed',
    `${folder} is not empty: name a new folder for the backup.`,
  );
}

/** Files of one store, in a folder of their own below the backup. */
export async function openBackupWriter(folder: string, part: string): Promise<BackupWriter> {
  await mkdir(join(folder, part), { mode: 0o700 });
  const files: ManifestFile[] = [];
  return {
    files,
    write: async (name, rows) => {
      const file = `${part}/${name}.gz`;
      const hash = createHash('sha256');
      let bytes = 0;
      const count = new Transform({
        transform: (chunk: Buffer, _encoding, done) => {
          hash.update(chunk);
          bytes += chunk.length;
          done(null, chunk);
        },
      });
      const target = createWriteStream(join(folder, file), { flags: 'wx', mode: 0o600, flush: true });
      await pipeline(rows, createGzip({ level: GZIP_LEVEL }), count, target);
      files.push({ name: file, bytes, sha256: hash.digest('hex') });
    },
  };
}

/** What was written under `name`, from its beginning. */
export function readBackupFile(folder: string, part: string, name: string): Readable {
  const file = createReadStream(join(folder, part, `${name}.gz`));
  const rows = createGunzip();
  pipeline(file, rows).catch((fault: unknown) => {
    rows.destroy(fault instanceof Error ? fault : new Error(messageOf(fault)));
  });
  return rows;
}

/** Refuses a file that is missing, too short, or another one than the manifest says; before anything is restored. */
export async function checkFiles(folder: string, files: readonly ManifestFile[]): Promise<void> {
  for (const { name, bytes, sha256 } of files) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) throw corrupt(`${path} is missing`, path);
    if (found.size !== bytes) throw corrupt(`${path} has ${found.size} bytes instead of ${bytes}`, path);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    if (hash.digest('hex') !== sha256) throw corrupt(`${path} is damaged`, path);
  }
}

function corrupt(what: string, path: string): PoolmeterError {
  return new PoolmeterError('storage.corrupt', `${what}: restore from another backup.`, {
    details: { path },
  });
}
