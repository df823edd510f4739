/**
 * ClickHouse in a child process: started, watched, started again on the same port when it dies, stopped. To everyone
 * else it is a ClickHouse server on 127.0.0.1.
 */
import { systemClock, type Clock } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { StartMessage } from './front/messages.js';
import { ChildStartFault, forkFront, type FrontChild } from './front-child.js';
import { startFaultToError } from './start-fault.js';
import { openStoreFolder, readHolder, writeHolder, type StoreFolder } from './store-folder.js';

export interface EmbeddedClickHouseOptions {
  /** The folder that holds tables, spool, credentials and query log. Created when missing. */
  readonly dataDir: string;
  readonly logger: Logger;
  /** 0 or absent takes any free port; a restart of the child keeps it. */
  readonly port?: number;
  /** What the engine may allocate in all, 600 MB when absent. */
  readonly memoryLimitBytes?: number;
  /** Where insert bodies wait for the engine; a folder in memory such as `/dev/shm/x` saves writes. */
  readonly spoolDir?: string;
  readonly clock?: Clock;
}

export interface EmbeddedClickHouse {
  /** `http://127.0.0.1:8123`, without credentials. */
  readonly url: string;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** A user that may only read: what a Grafana data source is given. */
  readonly reader: { readonly username: string; readonly password: string };
  /** Process id of the child that runs now; it changes when the child was restarted. */
  readonly pid: number;
  /** Lets what runs finish for up to 2 s, ends the child within 3 s. */
  stop(): Promise<void>;
}

const DEFAULT_MEMORY_LIMIT_BYTES = 600_000_000;
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 3_000;
/** A child whose parent died needs a moment to notice and to let go of the folder. */
const LOCK_WAIT_MS = 6_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** After this long alive, the next death is met with the shortest pause again. */
const STEADY_AFTER_MS = 30_000;

export async function startEmbeddedClickHouse(
  options: EmbeddedClickHouseOptions,
): Promise<EmbeddedClickHouse> {
  const folder = await openStoreFolder(options.dataDir, options.spoolDir);
  const supervisor = new Supervisor(options, folder);
  await supervisor.start();
  return {
    url: `http://127.0.0.1:${supervisor.port}`,
    database: 'poolmeter',
    username: 'default',
    password: folder.passwords.default,
    reader: { username: 'grafana_reader', password: folder.passwords.grafana_reader },
    get pid() {
      return supervisor.pid;
    },
    stop: () => supervisor.stop(),
  };
}

class Supervisor {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #folder: StoreFolder;
  readonly #memoryLimitBytes: number;
  readonly #stopping = new AbortController();
  #port: number;
  #child: FrontChild | undefined;
  #watching: Promise<void> | undefined;

  constructor(options: EmbeddedClickHouseOptions, folder: StoreFolder) {
    this.#logger = options.logger.child({ part: 'embedded-clickhouse' });
    this.#clock = options.clock ?? systemClock;
    this.#folder = folder;
    this.#memoryLimitBytes = options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES;
    this.#port = options.port ?? 0;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const child = await this.#firstChild();
    this.#port = child.port;
    this.#watching = this.#watch(child);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('The embedded ClickHouse is being stopped.'));
    await this.#child?.stop(STOP_LIMIT_MS);
    await this.#watching;
  }

  /** A fault of the first start is the caller's to hear, except a lock that is about to be let go. */
  async #firstChild(): Promise<FrontChild> {
    for (const until = this.#clock.now() + LOCK_WAIT_MS; ;) {
      try {
        return await this.#fork();
      } catch (fault) {
        const error = startFaultToError(fault, {
          folder: this.#folder,
          port: this.#port,
          holder: await readHolder(this.#folder),
        });
        const isOrphaned = error.code === 'storage.locked' && error.details['holderIsOrphan'] === true;
        if (!isOrphaned || this.#clock.now() > until) throw error;
        await this.#clock.sleep(200);
      }
    }
  }

  async #fork(): Promise<FrontChild> {
    const child = await forkFront({
      start: this.#startMessage(),
      startLimitMs: START_LIMIT_MS,
      onLine: (line) => this.#logger.debug({ line }, 'The engine wrote to stderr.'),
      onFault: (message) =>
        this.#logger.warn({ fault: message }, 'The embedded ClickHouse reported a fault.'),
    });
    this.#child = child;
    try {
      await writeHolder(this.#folder, { pid: child.pid, parent_pid: process.pid });
    } catch (fault) {
      await child.stop(STOP_LIMIT_MS);
      throw fault;
    }
    return child;
  }

  #startMessage(): StartMessage {
    const { storeDirectory, spoolDirectory, configPath, queryLogPath, passwords } = this.#folder;
    return {
      kind: 'start',
      storeDirectory,
      spoolDirectory,
      configPath,
      queryLogPath,
      port: this.#port,
      memoryLimitBytes: this.#memoryLimitBytes,
      users: [
        { name: 'default', password: passwords.default, mayOnlyRead: false },
        { name: 'grafana_reader', password: passwords.grafana_reader, mayOnlyRead: true },
      ],
    };
  }

  /** Until it is stopped: waits for the child's end and starts the next one, after a pause that grows with every failure. */
  async #watch(first: FrontChild): Promise<void> {
    let child: FrontChild | undefined = first;
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#stopping.signal.aborted) {
      if (child !== undefined) {
        const bornAt = this.#clock.now();
        const end = await child.ended;
        if (this.#isStopping()) return;
        this.#logger.error({ pid: child.pid, ...end }, 'The embedded ClickHouse died; it is started again.');
        if (this.#clock.now() - bornAt > STEADY_AFTER_MS) pauseMs = FIRST_PAUSE_MS;
      }
      await this.#clock.sleep(pauseMs, this.#stopping.signal).catch(() => undefined);
      if (this.#isStopping()) return;
      child = await this.#again();
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
    }
  }

  async #again(): Promise<FrontChild | undefined> {
    try {
      const child = await this.#fork();
      this.#logger.info({ pid: child.pid, port: child.port }, 'The embedded ClickHouse runs again.');
      // A stop that came while it started did not see it.
      if (this.#isStopping()) await child.stop(STOP_LIMIT_MS);
      return child;
    } catch (fault) {
      const detail = fault instanceof ChildStartFault ? { stderr: fault.stderr } : {};
      this.#logger.error(
        { err: fault, ...detail },
        'The embedded ClickHouse could not be started again yet.',
      );
      return undefined;
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }
}
