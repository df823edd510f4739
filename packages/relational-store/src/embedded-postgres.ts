/** A real PostgreSQL server in a data folder, kept running while this process lives and stopped when it is gone. */
import { createServer, type AddressInfo } from 'node:net';
import { messageOf, PoolmeterError, systemClock, type Clock } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import {
  claimDataFolder,
  DATABASE_USER,
  ensureCluster,
  openDataFolder,
  prepareEnvironment,
} from './data-folder.js';
import { ParentWatcher } from './parent-watcher.js';
import { findServerBinaries } from './server-binaries.js';
import { ServerConnection } from './server-connection.js';
import {
  spawnServer,
  stopLeftover,
  stopServer,
  waitUntilReady,
  type ServerProcess,
  type ServerSetup,
} from './server-process.js';
import { chooseServerUser } from './server-user.js';

export interface EmbeddedPostgresOptions {
  /** Belongs to this server alone; created when absent. */
  readonly dataDir: string;
  readonly logger: Logger;
  /** A free one when absent. It stays the same when the server is started again. */
  readonly port?: number;
  readonly clock?: Clock;
}

export interface EmbeddedPostgres {
  /** With the password: a secret. */
  readonly url: string;
  /** Of the server's main process now; another one after a restart. */
  readonly pid: number;
  /** Ends the server within 3 s. */
  stop(): Promise<void>;
}

const DATABASE = 'poolmeter';
const MAX_RESTART_PAUSE_MS = 5_000;
const START_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 100;

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const folder = await openDataFolder(options.dataDir);
  const release = await claimDataFolder(folder);
  try {
    const binaries = await findServerBinaries();
    const user = await chooseServerUser([folder.cluster, binaries.postgres]);
    const programs = { binaries, user, environment: await prepareEnvironment(folder, binaries) };
    const setup: ServerSetup = {
      folder,
      ...programs,
      logger: options.logger,
      clock: options.clock ?? systemClock,
    };
    const { password } = await ensureCluster(folder, programs);
    await stopLeftover(setup);
    const server = new SupervisedServer(setup, release);
    const port = await server.start(options.port);
    const urlOf = (database: string) =>
      `postgres://${DATABASE_USER}:${password}@127.0.0.1:${port}/${database}`;
    await createDatabase(urlOf('postgres')).catch(async (fault: unknown) => {
      await server.stop();
      throw fault;
    });
    return {
      url: urlOf(DATABASE),
      get pid() {
        return server.pid;
      },
      stop: () => server.stop(),
    };
  } catch (fault) {
    await release();
    throw fault;
  }
}

class SupervisedServer {
  readonly #setup: ServerSetup;
  readonly #releaseFolder: () => Promise<void>;
  readonly #watcher: ParentWatcher;
  readonly #stopping = new AbortController();
  #server: ServerProcess | undefined;
  #supervision: Promise<void> | undefined;

  constructor(setup: ServerSetup, releaseFolder: () => Promise<void>) {
    this.#setup = setup;
    this.#releaseFolder = releaseFolder;
    this.#watcher = new ParentWatcher({ cluster: setup.folder.cluster, logger: setup.logger });
  }

  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  /** A call, because it may become true during any await. */
  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Starts the first run and says on which port. */
  async start(wanted: number | undefined): Promise<number> {
    this.#watcher.start();
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort(wanted);
      try {
        await this.#run(port);
        this.#supervision = this.#supervise(port);
        return port;
      } catch (fault) {
        if (wanted !== undefined || attempt >= START_ATTEMPTS) {
          await this.#watcher.stop();
          throw fault;
        }
        // Somebody may have taken the port meanwhile, or backends of a killed server still hold its shared memory.
        await this.#setup.clock.sleep(FIRST_PAUSE_MS * 2 ** attempt);
      }
    }
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) {
      await this.#supervision;
      return;
    }
    this.#stopping.abort(new Error('PostgreSQL is being stopped.'));
    const before = this.#server;
    if (before !== undefined) await stopServer(before.pid, this.#setup.clock);
    await this.#supervision;
    // A new run may have begun while the ended one was waited for; it is ours to end too.
    if (this.#server !== undefined && this.#server !== before)
      await stopServer(this.#server.pid, this.#setup.clock);
    await this.#watcher.stop();
    await this.#releaseFolder();
  }

  async #run(port: number): Promise<void> {
    const server = spawnServer(this.#setup, port);
    this.#server = server;
    this.#watcher.watch(server.pid);
    try {
      await waitUntilReady(server, this.#setup);
    } catch (fault) {
      await stopServer(server.pid, this.#setup.clock);
      this.#watcher.watch(undefined);
      throw fault;
    }
  }

  async #supervise(port: number): Promise<void> {
    while (!this.#isStopping()) {
      const how = await this.#server?.ended;
      if (this.#isStopping()) return;
      this.#watcher.watch(undefined);
      this.#setup.logger.error({ ended_by: how }, 'PostgreSQL ended by itself; it is started again.');
      await this.#runAgain(port);
    }
  }

  /** Backends of the ended run may still hold its shared memory for a moment, so a start may fail at first. */
  async #runAgain(port: number): Promise<void> {
    const { clock, logger } = this.#setup;
    for (let attempt = 1; !this.#isStopping(); attempt += 1) {
      try {
        await this.#run(port);
        return;
      } catch (fault) {
        if (this.#isStopping()) return;
        logger.error({ attempt, error: messageOf(fault) }, 'PostgreSQL did not start; it is tried again.');
        const pauseMs = Math.min(MAX_RESTART_PAUSE_MS, 50 * 2 ** attempt);
        await clock.sleep(pauseMs, this.#stopping.signal).catch(() => undefined);
      }
    }
  }
}

function freePort(wanted: number | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE' && wanted !== undefined;
      const message = taken ? `Port ${wanted} is in use: choose another one for PostgreSQL.` : cause.message;
      reject(new PoolmeterError(taken ? 'port.in_use' : 'internal', message, { cause }));
    });
    probe.listen({ host: '127.0.0.1', port: wanted ?? 0 }, () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

async function createDatabase(adminUrl: string): Promise<void> {
  const connection = new ServerConnection({
    url: adminUrl,
    applicationName: 'poolmeter',
    statementTimeoutMs: 30_000,
  });
  try {
    const { rows } = await connection.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rows.length === 0) await connection.query(`CREATE DATABASE ${DATABASE} TEMPLATE template0`);
  } finally {
    await connection.end();
  }
}
