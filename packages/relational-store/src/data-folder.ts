/**
 * The data folder of the embedded server:
 *   cluster/    PostgreSQL's own files, owned by the user that the server runs as
 *   lib/        links that complete the server's libraries, made anew at each start
 *   password    of the one database user, mode 0600
 *   owner.json  the process that runs the server now
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { processStartedAt, isRunning } from './running-process.js';
import { linkLibraries, type ServerBinaries } from './server-binaries.js';
import type { ServerUser } from './server-user.js';

export const DATABASE_USER = 'poolmeter';

export interface DataFolder {
  readonly root: string;
  readonly cluster: string;
  readonly libraries: string;
  readonly passwordFile: string;
  readonly ownerFile: string;
}

/** What the programs that we start see of the environment: nothing that could redirect them. */
export const plainEnvironment = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

export async function openDataFolder(path: string): Promise<DataFolder> {
  return withStorageErrors(path, async () => {
    await mkdir(path, { recursive: true, mode: 0o711 });
    const root = await realpath(path);
    // The server's user must pass through this folder, which is ours; the files in it have their own modes.
    const { mode } = await stat(root);
    if (process.getuid?.() === 0 && (mode & 0o001) === 0) await chmod(root, mode | 0o111);
    return {
      root,
      cluster: join(root, 'cluster'),
      libraries: join(root, 'lib'),
      passwordFile: join(root, 'password'),
      ownerFile: join(root, 'owner.json'),
    };
  });
}

/** Refuses a folder whose server another living process runs; takes it over from one that is gone. */
export async function claimDataFolder(folder: DataFolder): Promise<() => Promise<void>> {
  const text = await readIfPresent(folder.ownerFile);
  const owner = text === undefined ? undefined : ownerFrom(text);
  if (
    owner !== undefined &&
    isRunning(owner.pid) &&
    (await processStartedAt(owner.pid)) === owner.startedAt
  ) {
    throw new PoolmeterError(
      'storage.locked',
      `The PostgreSQL data folder ${folder.root} is in use by process ${owner.pid}: stop that one first.`,
      { details: { pid: owner.pid } },
    );
  }
  const startedAt = await processStartedAt(process.pid);
  await withStorageErrors(folder.root, () =>
    writeFile(folder.ownerFile, JSON.stringify({ pid: process.pid, startedAt }), { mode: 0o600 }),
  );
  return () => rm(folder.ownerFile, { force: true });
}

/** A half-written note of a process that was killed names nobody. */
function ownerFrom(text: string): { pid: number; startedAt: string } | undefined {
  try {
    const note = JSON.parse(text) as { pid?: unknown; startedAt?: unknown };
    if (typeof note.pid !== 'number' || typeof note.startedAt !== 'string') return undefined;
    return { pid: note.pid, startedAt: note.startedAt };
  } catch {
    return undefined;
  }
}

/** What is started, as whom, and with which environment. */
export interface ServerPrograms {
  readonly binaries: ServerBinaries;
  readonly user: ServerUser;
  readonly environment: Readonly<Record<string, string>>;
}

/** The environment in which the server's programs find their libraries. */
export function prepareEnvironment(
  folder: DataFolder,
  binaries: ServerBinaries,
): Promise<Record<string, string>> {
  return withStorageErrors(folder.root, async () => ({
    ...plainEnvironment,
    ...(await linkLibraries(binaries, folder.libraries)),
  }));
}

/** Creates the cluster once. It is built beside its place and renamed, so that a crash leaves no half of it there. */
export async function ensureCluster(
  folder: DataFolder,
  { binaries, user, environment }: ServerPrograms,
): Promise<{ password: string }> {
  const stored = await readIfPresent(folder.passwordFile);
  const present = await exists(folder.cluster);
  if (present && (stored === undefined || stored.trim() === '')) {
    const advice = 'restore it from a backup, or give another data folder';
    throw new PoolmeterError('storage.corrupt', `${folder.passwordFile} is missing or empty: ${advice}.`);
  }
  if (present && stored !== undefined) return { password: stored.trim() };
  return withStorageErrors(folder.root, async () => {
    const password = randomBytes(24).toString('base64url');
    await writeFile(folder.passwordFile, password, { mode: 0o600, flush: true });
    await initialise(folder, { binaries, user, environment, password });
    return { password };
  });
}

async function initialise(
  folder: DataFolder,
  { binaries, user, environment, password }: ServerPrograms & { readonly password: string },
): Promise<void> {
  const fresh = `${folder.cluster}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  // initdb runs as the server's user, which cannot read our password file: it gets a copy that lives for this call.
  const passwordCopy = `${fresh}.password`;
  await writeFile(passwordCopy, password, { mode: 0o600 });
  if (user.owner !== undefined) {
    await chown(fresh, user.owner.uid, user.owner.gid);
    await chown(passwordCopy, user.owner.uid, user.owner.gid);
  }
  const plan = user.command(binaries.initdb, [
    `--pgdata=${fresh}`,
    `--username=${DATABASE_USER}`,
    `--pwfile=${passwordCopy}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
  ]);
  try {
    await promisify(execFile)(plan.file, plan.args, {
      ...plan.ids,
      cwd: folder.root,
      env: environment,
    });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() ?? '';
    if (said.includes('No space left on device')) throw Object.assign(new Error(said), { code: 'ENOSPC' });
    const message = `PostgreSQL could not create its data folder: ${said === '' ? messageOf(cause) : said}`;
    throw new PoolmeterError('dependency.unavailable', message, { cause });
  } finally {
    await rm(passwordCopy, { force: true });
  }
  await rename(fresh, folder.cluster);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fault;
  }
}

export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fault;
  }
}

async function withStorageErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOSPC') {
      throw new PoolmeterError('storage.full', `The disk of ${path} is full: free some space.`, {
        retriable: true,
        cause,
      });
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new PoolmeterError(
        'storage.read_only',
        `${path} cannot be written: make it writable, or choose another --data-dir.`,
        { cause },
      );
    }
    throw cause;
  }
}
