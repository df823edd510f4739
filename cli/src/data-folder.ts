/** The folder that `poolmeter up` lives in: one process at a time, owned, writable. */
import { constants } from 'node:fs';
import { access, mkdir, open, readFile, rm, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';

export interface DataFolder {
  readonly path: string;
  /** Paths of the parts below it. */
  of(...parts: readonly string[]): string;
  /** Lets another process have the folder. */
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** What /proc says of the process's start; tells a reused pid from the holder. */
  readonly startedAt: string;
}

const LOCK_FILE = 'up.lock';
const ATTEMPTS = 5;
/** New stores take about this much. The bus is a file in memory: without room for it the process dies of SIGBUS, unheard. */
const LEAST_FREE_BYTES = 64 * 1024 * 1024;

/** Creates the folder when it is missing and takes its lock; a lock left by a dead process is taken over. */
export async function openDataFolder(directory: string): Promise<DataFolder> {
  const path = resolve(directory);
  await mkdir(path, { recursive: true }).catch(async (fault: unknown) =>
    refuse(path, await mkdirReason(path, fault as NodeJS.ErrnoException)),
  );
  await access(path, constants.W_OK).catch((fault: unknown) => refuse(path, fault as NodeJS.ErrnoException));
  await expectFreeSpace(path);
  const lock = join(path, LOCK_FILE);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (await tryLock(lock, path)) return folderAt(path, lock);
    const holder = await readHolder(lock);
    if (holder !== undefined && (await isAlive(holder))) throw heldBy(path, holder.pid);
    await rm(lock, { force: true });
  }
  throw new PoolmeterError('storage.locked', `${path} is being taken by other processes: try again.`, {
    retriable: true,
  });
}

async function expectFreeSpace(path: string): Promise<void> {
  const { bavail, bsize } = await statfs(path);
  const free = bavail * bsize;
  if (free >= LEAST_FREE_BYTES) return;
  throw new PoolmeterError(
    'storage.full',
    `The disk of ${path} is full (${mebibytes(free)} left, ${mebibytes(LEAST_FREE_BYTES)} needed): free some space and start again.`,
    { details: { free, needed: LEAST_FREE_BYTES } },
  );
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MiB`;
}

function folderAt(path: string, lock: string): DataFolder {
  return {
    path,
    of: (...parts) => join(path, ...parts),
    release: () => rm(lock, { force: true }),
  };
}

async function tryLock(lock: string, path: string): Promise<boolean> {
  try {
    const file = await open(lock, 'wx', 0o600);
    const holder: Holder = { pid: process.pid, startedAt: (await startOf(process.pid)) ?? '' };
    await file.writeFile(JSON.stringify(holder));
    await file.close();
    return true;
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'EEXIST') return false;
    return refuse(path, fault as NodeJS.ErrnoException);
  }
}

async function readHolder(lock: string): Promise<Holder | undefined> {
  try {
    const holder: unknown = JSON.parse(await readFile(lock, 'utf8'));
    const known = holder as Partial<Holder>;
    return typeof known.pid === 'number' ? { pid: known.pid, startedAt: known.startedAt ?? '' } : undefined;
  } catch {
    // Gone or half written by a process that died in between: nobody holds it.
    return undefined;
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const startedAt = await startOf(holder.pid);
  return startedAt === undefined || holder.startedAt === '' || startedAt === holder.startedAt;
}

/** Field 22 of /proc/PID/stat (start in clock ticks since boot); undefined where there is no /proc. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command's name is in parentheses and may hold spaces: count after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function heldBy(path: string, pid: number): PoolmeterError {
  return new PoolmeterError(
    'storage.locked',
    `${path} is in use by another "poolmeter up" (pid ${pid}): stop that one first, or give this one a --data-dir of its own.`,
    { details: { pid } },
  );
}

/** A recursive mkdir says ENOENT on a read-only file system: the nearest folder that exists knows the reason. */
async function mkdirReason(path: string, fault: NodeJS.ErrnoException): Promise<NodeJS.ErrnoException> {
  if (fault.code !== 'ENOENT') return fault;
  const above = dirname(path);
  const reason = await access(above, constants.W_OK).then(
    () => fault,
    (cause: unknown) => cause as NodeJS.ErrnoException,
  );
  return reason.code === 'ENOENT' && above !== path ? mkdirReason(above, reason) : reason;
}

function refuse(path: string, fault: NodeJS.ErrnoException): never {
  switch (fault.code) {
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      throw new PoolmeterError(
        'storage.read_only',
        `${path} cannot be written (${fault.code}): make it writable for this user or choose another --data-dir.`,
        { cause: fault },
      );
    case 'ENOSPC':
    case 'EDQUOT':
      throw new PoolmeterError(
        'storage.full',
        `The disk of ${path} is full: free some space and start again.`,
        { cause: fault },
      );
    default:
      throw new PoolmeterError('input.invalid', `${path} cannot be the data folder: ${fault.message}.`, {
        cause: fault,
      });
  }
}
