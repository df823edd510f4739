/** The folder of the embedded ClickHouse: its parts, its credentials, and who holds it. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';

export interface StoreFolder {
  readonly path: string;
  readonly storeDirectory: string;
  readonly spoolDirectory: string;
  readonly configPath: string;
  readonly queryLogPath: string;
  readonly holderPath: string;
  readonly passwords: Passwords;
}

const passwordsSchema = z.object({ default: z.string().min(8), grafana_reader: z.string().min(8) });
type Passwords = z.infer<typeof passwordsSchema>;

const holderSchema = z.object({ pid: z.int(), parent_pid: z.int() });
export type Holder = z.infer<typeof holderSchema>;

/** Creates what is missing. Credentials stay the same over restarts, so that a data source keeps working. */
export async function openStoreFolder(path: string, spoolDirectory?: string): Promise<StoreFolder> {
  const storeDirectory = join(path, 'store');
  try {
    await mkdir(storeDirectory, { recursive: true, mode: 0o700 });
    return {
      path,
      storeDirectory,
      spoolDirectory: spoolDirectory ?? join(path, 'spool'),
      configPath: join(path, 'engine.xml'),
      queryLogPath: join(path, 'query-log.jsonl'),
      holderPath: join(path, 'holder.json'),
      passwords: await readOrCreatePasswords(join(path, 'credentials.json')),
    };
  } catch (cause) {
    throw folderFault(path, cause);
  }
}

async function readOrCreatePasswords(path: string): Promise<Passwords> {
  const text = await readFile(path, 'utf8').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fault;
  });
  if (text !== undefined) return parsePasswords(path, text);
  const fresh = () => randomBytes(18).toString('base64url');
  const passwords = { default: fresh(), grafana_reader: fresh() };
  // Written aside and renamed, so that a crash leaves no half file behind.
  await writeFile(`${path}.new`, `${JSON.stringify(passwords)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return passwords;
}

function parsePasswords(path: string, text: string): Passwords {
  try {
    return passwordsSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PoolmeterError(
      'storage.corrupt',
      `${path} is damaged: delete it, and new passwords for the embedded ClickHouse are made at the next start.`,
      { details: { path }, cause },
    );
  }
}

/** Notes who holds the folder, for the message to whoever comes second. The lock itself is the engine's. */
export async function writeHolder(folder: StoreFolder, holder: Holder): Promise<void> {
  await writeFile(folder.holderPath, `${JSON.stringify(holder)}\n`, { mode: 0o600 }).catch(
    (cause: unknown) => {
      throw folderFault(folder.path, cause);
    },
  );
}

export async function readHolder(folder: StoreFolder): Promise<Holder | undefined> {
  const text = await readFile(folder.holderPath, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    // It was being written; the next look finds it whole.
    return undefined;
  }
}

/** A sentence for what the file system said about the folder. */
export function folderFault(path: string, cause: unknown): PoolmeterError {
  if (cause instanceof PoolmeterError) return cause;
  const context = { details: { path }, cause };
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new PoolmeterError(
        'storage.full',
        `The disk of ${path} is full: free some space and start again.`,
        context,
      );
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new PoolmeterError(
        'storage.read_only',
        `${path} cannot be written: make it writable for this user or choose another data folder.`,
        context,
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new PoolmeterError(
        'config.invalid',
        `${path} is not a folder: choose another data folder.`,
        context,
      );
    default:
      return new PoolmeterError('internal', `${path} could not be prepared: ${messageOf(cause)}.`, context);
  }
}
