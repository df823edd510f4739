/**
 * PostgreSQL refuses to run as root. As root we therefore run it as the user `postgres`; where that user may not pass
 * through a parent folder (such as /root) it gets one capability to do so, instead of a change to folders that are
 * not ours. As an ordinary user the server runs as that user.
 */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, PoolmeterError } from '@poolmeter/domain';

export interface ServerUser {
  /** undefined: the server runs as the user that we are. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** What to spawn, and with which ids, so that `file` runs as that user. */
  command(file: string, args: readonly string[]): SpawnPlan;
}

export interface SpawnPlan {
  readonly file: string;
  readonly args: readonly string[];
  readonly ids: { readonly uid?: number; readonly gid?: number };
}

const USER = 'postgres';
const run = promisify(execFile);

/** `paths`: what the server must be able to reach, the data folder and its binaries. */
export async function chooseServerUser(paths: readonly string[]): Promise<ServerUser> {
  if (process.getuid?.() !== 0) {
    return { owner: undefined, command: (file, args) => ({ file, args, ids: {} }) };
  }
  const owner = (await findUser()) ?? (await createUser());
  const blocked = await firstBlockedFolder(paths, owner);
  if (blocked === undefined) return { owner, command: (file, args) => ({ file, args, ids: owner }) };
  return throughSetpriv(owner, blocked);
}

async function findUser(): Promise<ServerUser['owner']> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', USER]), run('id', ['-g', USER])]);
    return { uid: Number.parseInt(uid.stdout, 10), gid: Number.parseInt(gid.stdout, 10) };
  } catch {
    // `id` exits 1 when there is no such user; then one is created, and a failure of that is reported.
    return undefined;
  }
}

async function createUser(): Promise<NonNullable<ServerUser['owner']>> {
  try {
    await run('useradd', [
      '--system',
      '--user-group',
      '--no-create-home',
      '--shell',
      '/usr/sbin/nologin',
      USER,
    ]);
  } catch (cause) {
    throw new PoolmeterError(
      'dependency.unavailable',
      `PostgreSQL cannot run as root, and a user "${USER}" could not be created (${messageOf(cause)}): create it, or start poolmeter as an ordinary user.`,
      { cause },
    );
  }
  const created = await findUser();
  if (created === undefined)
    throw new PoolmeterError('internal', `The user "${USER}" was created but is not found.`);
  return created;
}

async function firstBlockedFolder(
  paths: readonly string[],
  owner: NonNullable<ServerUser['owner']>,
): Promise<string | undefined> {
  for (const path of paths) {
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const { mode, uid, gid } = await stat(folder);
      const bit = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0) return folder;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

/** CAP_DAC_READ_SEARCH passes folders and nothing more; containers often have only the wider CAP_DAC_OVERRIDE. */
async function throughSetpriv(owner: NonNullable<ServerUser['owner']>, blocked: string): Promise<ServerUser> {
  const identity = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  for (const capability of ['dac_read_search', 'dac_override']) {
    const prefix = [...identity, `--inh-caps=+${capability}`, `--ambient-caps=+${capability}`, '--'];
    const usable = await run('setpriv', [...prefix, 'ls', blocked]).then(
      () => true,
      () => false,
    );
    if (usable) {
      return {
        // setpriv sets the ids itself, so the spawn must not.
        owner,
        command: (file, args) => ({ file: 'setpriv', args: [...prefix, file, ...args], ids: {} }),
      };
    }
  }
  throw new PoolmeterError(
    'storage.read_only',
    `PostgreSQL runs as the user "${USER}", which may not pass through ${blocked}: choose another --data-dir, or start poolmeter as an ordinary user.`,
    { details: { folder: blocked } },
  );
}
