import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { PoolmeterError } from '@poolmeter/domain';
import { open, stat, type FileHandle } from 'node:fs/promises';

/** Where reading stands in a file, so that a restart goes on there. Plain JSON. */
export interface FilePosition {
  /** Device and inode: rotation gives the name to another file. */
  readonly file: string;
  /** Bytes read, up to the end of the last whole line. */
  readonly offset: number;
  /** Hash of the file's beginning: a file that was overwritten in place begins otherwise. */
  readonly head: string;
  readonly headBytes: number;
}

export interface FollowedLines {
  readonly lines: readonly string[];
  /** The position after these lines; keep it once their effect is durable. */
  readonly position: FilePosition;
  /** When the file was last written, epoch milliseconds. */
  readonly writtenAtMs: number;
  /** True when there is more to read at once. */
  readonly more: boolean;
}

export interface FollowFileOptions {
  readonly path: string;
  readonly from?: FilePosition | undefined;
}

/** Lines that stand together are dated together; a log is seldom longer than this between two rotations. */
const CHUNK_BYTES = 4 * 1024 * 1024;
/** A longer line is cut: kernel lines are below 1 KiB, journal entries below 64 KiB. */
const MAX_LINE_BYTES = 64 * 1024;
const HEAD_BYTES = 256;
const NEWLINE = 0x0a;
const NO_HEAD = hashOf(Buffer.alloc(0));

/**
 * Reads a log that grows: whole lines only, from the kept position, through rotation (the old file to its end first)
 * and truncation. A file that does not exist yet has no lines.
 */
export class FollowFile {
  readonly #path: string;
  #kept: FilePosition | undefined;
  #open: OpenFile | undefined;

  constructor(options: FollowFileOptions) {
    this.#path = options.path;
    this.#kept = options.from;
  }

  /** False while the file does not exist. */
  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** The next lines, or undefined when there are none now. */
  async read(): Promise<FollowedLines | undefined> {
    this.#open ??= await this.#openFirst();
    if (this.#open === undefined) return undefined;
    if (await this.#open.wasOverwritten()) return this.#readAnew(this.#open);
    const found = await this.#open.read();
    if (found !== undefined) return found;
    return this.#readNextFile(this.#open);
  }

  async close(): Promise<void> {
    await this.#open?.close();
    this.#open = undefined;
  }

  /** Nothing new in the open file: was it rotated away? */
  async #readNextFile(current: OpenFile): Promise<FollowedLines | undefined> {
    const now = await statOrUndefined(this.#path);
    if (now === undefined || identityOf(now) === current.identity) return undefined;
    // A last line without its end will not get one any more.
    return (await current.readUnfinished()) ?? this.#readAnew(current);
  }

  async #readAnew(current: OpenFile): Promise<FollowedLines | undefined> {
    await current.close();
    this.#open = await openAt(this.#path, undefined);
    return this.#open?.read();
  }

  /** Goes on in the kept file, also when it was rotated to `path.1` meanwhile; else begins at the start. */
  async #openFirst(): Promise<OpenFile | undefined> {
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept === undefined) return openAt(this.#path, undefined);
    const current = await openAt(this.#path, kept);
    if (current === undefined || current.resumed) return current;
    const rotated = await openAt(`${this.#path}.1`, kept);
    if (rotated?.resumed === true) {
      await current.close();
      return rotated;
    }
    await rotated?.close();
    return current;
  }
}

class OpenFile {
  readonly identity: string;
  /** True when reading goes on at a kept position. */
  readonly resumed: boolean;
  readonly #handle: FileHandle;
  #offset: number;
  #head: { hash: string; bytes: number };

  constructor(handle: FileHandle, identity: string, at: FilePosition | undefined) {
    this.#handle = handle;
    this.identity = identity;
    this.resumed = at !== undefined;
    this.#offset = at?.offset ?? 0;
    this.#head = { hash: at?.head ?? NO_HEAD, bytes: at?.headBytes ?? 0 };
  }

  async read(): Promise<FollowedLines | undefined> {
    const chunk = await this.#bytesAt(this.#offset, CHUNK_BYTES);
    const end = chunk.lastIndexOf(NEWLINE);
    if (end >= 0) return this.#take(chunk.subarray(0, end + 1), chunk.length === CHUNK_BYTES);
    return chunk.length > MAX_LINE_BYTES ? this.#take(chunk.subarray(0, MAX_LINE_BYTES), true) : undefined;
  }

  /** What stands after the last line end, as a line. */
  async readUnfinished(): Promise<FollowedLines | undefined> {
    const chunk = await this.#bytesAt(this.#offset, CHUNK_BYTES);
    return chunk.length === 0 ? undefined : this.#take(chunk, true);
  }

  /** Shorter than what was read of it, or with something new behind another beginning. */
  async wasOverwritten(): Promise<boolean> {
    const { size } = await this.#handle.stat();
    if (size <= this.#offset) return size < this.#offset;
    return (await headOf(this.#handle, this.#head.bytes)).hash !== this.#head.hash;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #take(bytes: Buffer, more: boolean): Promise<FollowedLines> {
    this.#offset += bytes.length;
    if (this.#head.bytes < HEAD_BYTES) {
      this.#head = await headOf(this.#handle, Math.min(HEAD_BYTES, this.#offset));
    }
    const text = bytes.toString('utf8');
    const { mtimeMs } = await this.#handle.stat();
    return {
      lines: text
        .split('\n')
        .map((line) => line.replace(/\r$/, '').slice(0, MAX_LINE_BYTES))
        .filter((line) => line !== ''),
      position: {
        file: this.identity,
        offset: this.#offset,
        head: this.#head.hash,
        headBytes: this.#head.bytes,
      },
      writtenAtMs: mtimeMs,
      more,
    };
  }

  async #bytesAt(offset: number, length: number): Promise<Buffer> {
    const { size } = await this.#handle.stat();
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)));
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, offset);
    return buffer.subarray(0, bytesRead);
  }
}

/** Opens the file; at the kept position when this is the file that was kept. */
async function openAt(path: string, kept: FilePosition | undefined): Promise<OpenFile | undefined> {
  const handle = await openOrUndefined(path);
  if (handle === undefined) return undefined;
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw new PoolmeterError(
      'input.invalid',
      `${path} is not a regular file: follow one such as /var/log/kern.log.`,
    );
  }
  const identity = identityOf(stats);
  const head = kept === undefined ? undefined : await headOf(handle, kept.headBytes);
  const same = kept?.file === identity && stats.size >= kept.offset && head?.hash === kept.head;
  return new OpenFile(handle, identity, same ? kept : undefined);
}

async function headOf(handle: FileHandle, length: number): Promise<{ hash: string; bytes: number }> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, 0);
  return { hash: hashOf(buffer.subarray(0, bytesRead)), bytes: bytesRead };
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function identityOf(stats: { readonly dev: number; readonly ino: number }): string {
  return `${stats.dev}:${stats.ino}`;
}

async function openOrUndefined(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function statOrUndefined(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
