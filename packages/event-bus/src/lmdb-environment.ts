/** Opens a folder as an LMDB environment whose commits are on the disk when their promise resolves. */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
} from 'node:fs';
import { join } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';
import { open, type Database, type RootDatabase } from 'lmdb';
import { storageFault, writeFault } from './storage-fault.js';

export interface LmdbOptions {
  readonly directory: string;
  /** Address space reserved for the file, in bytes. Nothing is allocated before it is written, and it may grow beyond. */
  readonly mapSizeBytes: number;
  readonly tablesMax: number;
}

type TableKey = string | number | (string | number)[];

/** Values of these tables are JSON. */
export type JsonTable<V> = Database<V, TableKey>;
/** Values are bytes, keys are offsets. */
export type BinaryTable = Database<Buffer, number>;

/** Where LMDB keeps its magic number in either of its two meta pages, after the page header. */
const MAGIC_OFFSET = 24;
const MAGIC = 0xbeefc0de;

/**
 * LMDB allows a file to be opened once per process: a second writer thread would wait for the first one's lock while
 * that one waits for this thread to run its transaction. So everybody in a process shares one root per folder.
 */
interface SharedRoot {
  readonly root: RootDatabase;
  users: number;
}

const roots = new Map<string, SharedRoot>();

export class LmdbEnvironment {
  readonly directory: string;
  readonly #path: string;
  readonly #shared: SharedRoot;
  readonly #root: RootDatabase;
  #closing: Promise<void> | undefined;

  constructor(options: LmdbOptions) {
    this.directory = options.directory;
    try {
      requireWritableFolder(options.directory);
      this.#path = realpathSync(options.directory);
      this.#shared = roots.get(this.#path) ?? openRoot(this.#path, options);
    } catch (cause) {
      throw storageFault(cause, options.directory);
    }
    this.#shared.users += 1;
    this.#root = this.#shared.root;
  }

  jsonTable<V>(name: string): JsonTable<V> {
    return this.#table(name, 'json') as JsonTable<V>;
  }

  binaryTable(name: string): BinaryTable {
    return this.#table(name, 'binary') as BinaryTable;
  }

  /** Runs `work` under the write lock that all processes share; resolves when its effect is on the disk. */
  async write<T>(work: () => T): Promise<T> {
    this.requireOpen();
    try {
      return await this.#root.transaction(work);
    } catch (thrown) {
      throw await writeFault(thrown, this.directory);
    }
  }

  requireOpen(): void {
    if (this.#closing !== undefined) {
      throw new PoolmeterError('bus.closed', `The log in ${this.directory} is closed.`);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#leave();
    return this.#closing;
  }

  async #leave(): Promise<void> {
    this.#shared.users -= 1;
    if (this.#shared.users > 0) return;
    roots.delete(this.#path);
    await this.#root.close();
  }

  #table(name: string, encoding: 'json' | 'binary'): Database {
    this.requireOpen();
    try {
      return this.#root.openDB(name, { encoding });
    } catch (cause) {
      throw storageFault(cause, this.directory);
    }
  }
}

function openRoot(path: string, options: LmdbOptions): SharedRoot {
  requireLmdbFile(join(path, 'data.mdb'));
  const root = open({
    path,
    noSubdir: false,
    mapSize: options.mapSizeBytes,
    maxDbs: options.tablesMax,
    // A commit then ends with the flush to disk: acknowledged means that it survives a power cut, and readers never
    // see what a power cut could still undo.
    overlappingSync: false,
    // With it on, a failed commit also rejects a promise that nobody can reach, which ends the process.
    eventTurnBatching: false,
  });
  const shared = { root, users: 0 };
  roots.set(path, shared);
  return shared;
}

function requireWritableFolder(directory: string): void {
  mkdirSync(directory, { recursive: true });
  accessSync(directory, constants.R_OK | constants.W_OK);
}

/** LMDB maps the file without looking at it first, so that a foreign file would crash the process. */
function requireLmdbFile(path: string): void {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw cause;
  }
  try {
    if (fstatSync(file).size === 0) return;
    const head = Buffer.alloc(4);
    readSync(file, head, 0, 4, MAGIC_OFFSET);
    if (head.readUInt32LE(0) !== MAGIC) {
      throw new PoolmeterError(
        'storage.corrupt',
        `${path} is not a log of poolmeter: restore it from a backup or choose another folder.`,
        { details: { path } },
      );
    }
  } finally {
    closeSync(file);
  }
}
