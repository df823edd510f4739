/**
 * The embedded engine, reached through chdb's addon itself. chdb's Session waits on close for every native operation of
 * the process, so connections of single requests would pile up under load until the memory limit refuses work. Here each
 * connection is closed when its own operation has ended. The addon is internal to chdb: its version is pinned.
 */
import { createRequire } from 'node:module';

interface NativeResult {
  readonly bytes: Uint8Array;
  readonly rowsRead: number;
  readonly bytesRead: number;
}

interface NativeChunk {
  readonly done: boolean;
  readonly bytes: Uint8Array;
  readonly numRows: number;
}

interface NativeAddon {
  CreateConnection(path: string, engineArguments: readonly string[]): unknown;
  CloseConnection(handle: unknown): void;
  QueryAsyncConnection(handle: unknown, sql: string, format: string): Promise<NativeResult>;
  StreamQuery(handle: unknown, sql: string, format: string): unknown;
  StreamFetch(stream: unknown): Promise<NativeChunk>;
  StreamCancel(stream: unknown): void;
}

export interface EngineResult {
  readonly bytes: Buffer;
  readonly rowsRead: number;
  readonly bytesRead: number;
}

export interface EngineConnection {
  run(sql: string, format?: string): Promise<EngineResult>;
  /** Chunks of a result whose parts may be concatenated. Leaving the loop early cancels the query. */
  stream(sql: string, format: string): AsyncGenerator<Buffer, void>;
  /** Closes once; call it only when nothing runs on the connection any more. */
  close(): void;
}

export interface Engine {
  open(): EngineConnection;
}

interface AddonLoader {
  loadNative(): NativeAddon;
}

/** Each open connection shares one engine; the first one starts it and the last one to close ends it. */
export function loadEngine(path: string, engineArguments: readonly string[]): Engine {
  const require = createRequire(import.meta.url);
  const loaderPath = new URL('dist/loader.js', `file://${require.resolve('chdb/package.json')}`).pathname;
  const addon = (require(loaderPath) as AddonLoader).loadNative();
  return { open: () => new AddonConnection(addon, addon.CreateConnection(path, engineArguments)) };
}

class AddonConnection implements EngineConnection {
  readonly #addon: NativeAddon;
  #handle: unknown;

  constructor(addon: NativeAddon, handle: unknown) {
    this.#addon = addon;
    this.#handle = handle;
  }

  async run(sql: string, format = 'TabSeparated'): Promise<EngineResult> {
    const { bytes, rowsRead, bytesRead } = await this.#addon.QueryAsyncConnection(this.#handle, sql, format);
    return { bytes: asBuffer(bytes), rowsRead, bytesRead };
  }

  async *stream(sql: string, format: string): AsyncGenerator<Buffer, void> {
    const stream = this.#addon.StreamQuery(this.#handle, sql, format);
    let ended = false;
    try {
      for (;;) {
        const chunk = await this.#fetch(stream).catch((fault: unknown) => {
          ended = true;
          throw fault;
        });
        if (chunk.done) {
          ended = true;
          return;
        }
        yield asBuffer(chunk.bytes);
      }
    } finally {
      // A generator is never left while a fetch is in flight, so the handle is free to be destroyed.
      if (!ended) this.#addon.StreamCancel(stream);
    }
  }

  close(): void {
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle !== undefined) this.#addon.CloseConnection(handle);
  }

  #fetch(stream: unknown): Promise<NativeChunk> {
    return this.#addon.StreamFetch(stream);
  }
}

/** The same memory as a Buffer, without a copy. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
