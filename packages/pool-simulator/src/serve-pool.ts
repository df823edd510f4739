/** Serves a simulated pool as the world would: exporters over HTTP, kernel logs as files, a scheduler with an API. */
import { instantFromMs, invariant, type Clock, type EpochMs } from '@poolmeter/domain';
import {
  openHttpListener,
  repeatEvery,
  type Component,
  type HttpListener,
  type Logger,
} from '@poolmeter/service';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openExporter, type ExporterServer } from './exporter-server.js';
import { KernelLogFile } from './kernel-log-file.js';
import { PoolTime } from './pool-time.js';
import { createSchedulerRoutes } from './scheduler-routes.js';
import type { SimulatedPool } from './simulated-pool.js';

export interface ServePoolOptions {
  readonly pool: SimulatedPool;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 127.0.0.1 when absent: nothing here is meant for a network. */
  readonly host?: string;
  /** 0 = any. */
  readonly schedulerPort?: number;
  /** One file per node: `NODE.log`. */
  readonly kernelLogDir: string;
  /** How much faster than the clock the pool lives; 1 when absent. */
  readonly speed?: number;
  readonly token?: string;
  /** History older than this is dropped; 15 days when absent. */
  readonly keepMs?: number;
}

/** Where to find one node's telemetry. */
export interface ServedNode {
  readonly node: string;
  readonly providerId: string;
  /** `http://127.0.0.1:PORT/metrics` */
  readonly url: string;
  readonly kernelLogFile: string;
}

export interface ServedPool extends Component {
  /** `http://127.0.0.1:PORT`; known once started. */
  readonly schedulerUrl: string;
  /** Nodes of now: those that were added are there after the next turn, removed ones are gone. */
  exporters(): ServedNode[];
  /** One turn by hand, for virtual time: writes kernel logs and follows nodes that come and go. */
  tick(): Promise<void>;
}

interface OpenNode extends ServedNode {
  readonly exporter: ExporterServer;
  readonly log: KernelLogFile;
}

const TURN_MS = 250;
const DAY_MS = 86_400_000;

export function servePool(options: ServePoolOptions): ServedPool {
  return new PoolService(options);
}

class PoolService implements ServedPool {
  readonly name = 'the simulated pool';
  readonly #options: ServePoolOptions;
  readonly #open = new Map<string, OpenNode>();
  readonly #loop: Component;
  #time: PoolTime | undefined;
  #listener: HttpListener | undefined;
  /** The turn in hand: turns never overlap, by hand or by the clock. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ServePoolOptions) {
    this.#options = options;
    this.#loop = repeatEvery({
      name: 'simulated pool',
      everyMs: TURN_MS,
      clock: options.clock,
      logger: options.logger,
      run: () => this.tick(),
    });
  }

  get schedulerUrl(): string {
    invariant(this.#listener, 'the simulated pool is started before it is asked where its scheduler is');
    return this.#listener.url;
  }

  exporters(): ServedNode[] {
    return [...this.#open.values()].map(({ node, providerId, url, kernelLogFile }) => ({
      node,
      providerId,
      url,
      kernelLogFile,
    }));
  }

  async start(): Promise<void> {
    const { pool, clock, logger, kernelLogDir } = this.#options;
    mkdirSync(kernelLogDir, { recursive: true });
    const time = new PoolTime({ pool, clock, speed: this.#options.speed ?? 1 });
    this.#time = time;
    const routes = createSchedulerRoutes({
      pool,
      time,
      logger,
      token: this.#options.token,
      sources: () => this.exporters(),
    });
    await this.tick();
    this.#listener = await openHttpListener({
      name: 'the simulated scheduler',
      host: this.#host,
      port: this.#options.schedulerPort ?? 0,
      fetch: (request) => routes.fetch(request),
    });
    await this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#turn;
    await this.#listener?.close(500);
    for (const open of this.#open.values()) await open.exporter.close();
    this.#open.clear();
  }

  get #host(): string {
    return this.#options.host ?? '127.0.0.1';
  }

  tick(): Promise<void> {
    const turn = this.#turn.then(() => this.#turnOnce());
    // The next turn is made whether or not this one fails; its fault goes to whoever asked for it.
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #turnOnce(): Promise<void> {
    const { pool, keepMs } = this.#options;
    invariant(this.#time, 'the simulated pool is started before its turns');
    const now = this.#time.advance();
    await this.#followNodes(now);
    for (const open of this.#open.values()) open.log.appendUntil(now);
    const keepFrom = now - (keepMs ?? 15 * DAY_MS);
    // Once a day is often enough; each time costs a pass over all history.
    if (keepFrom - DAY_MS > pool.startAt) {
      pool.forgetBefore(instantFromMs(Math.floor(keepFrom / DAY_MS) * DAY_MS));
    }
  }

  async #followNodes(now: EpochMs): Promise<void> {
    for (const node of this.#options.pool.nodes()) {
      const open = this.#open.get(node.node);
      if (node.removedAt !== undefined) {
        open?.log.appendUntil(now);
        this.#open.delete(node.node);
        await open?.exporter.close();
      } else if (open === undefined) {
        this.#open.set(node.node, await this.#openNode(node, now));
      }
    }
  }

  async #openNode(node: { node: string; providerId: string }, now: EpochMs): Promise<OpenNode> {
    const { pool, kernelLogDir } = this.#options;
    invariant(this.#time, 'the simulated pool is started before its nodes');
    const kernelLogFile = join(kernelLogDir, `${node.node}.log`);
    const log = new KernelLogFile({ pool, node: node.node, file: kernelLogFile, from: now });
    const exporter = await openExporter({ pool, time: this.#time, node: node.node, host: this.#host });
    return {
      node: node.node,
      providerId: node.providerId,
      url: exporter.url,
      kernelLogFile,
      exporter,
      log,
    };
  }
}
