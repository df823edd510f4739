import { hostname } from 'node:os';
import { join } from 'node:path';
import { messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import { createSpool, type EventBus, type Spool, type SpoolEntry } from '@poolmeter/event-bus';
import { repeatEvery, type Component, type Logger, type Telemetry } from '@poolmeter/service';
import {
  topicOfProvider,
  topics,
  type AgentTopic,
  type GpuEvent,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import { collectorMetrics, type CollectorMetrics } from './collector-metrics.js';
import { collectorStateFile, type CollectorState, type CollectorStateFile } from './collector-state.js';
import { createDelivery, type Delivery } from './delivery.js';
import { agentEventIdentity } from './event-identity.js';
import { FollowKernelLog } from './follow-kernel-log.js';
import { createMessageProducer, eventMessages, sampleMessages, type MessageProducer } from './messages.js';
import { normalPciBusId } from './pci-bus-id.js';
import { ScrapeSource, type ScrapeTarget } from './scrape-source.js';

export interface KernelLogTarget {
  readonly file: string;
  /** The node that wrote it; may be left out where there is one scrape target: then it is that target's node. */
  readonly node?: string | undefined;
  readonly pool: string;
  readonly providerId: string;
  /** The boot's id, where the log is that of one known boot. */
  readonly bootId?: string | undefined;
}

export interface CollectorSettings {
  readonly targets: readonly ScrapeTarget[];
  readonly kernelLogs: readonly KernelLogTarget[];
  readonly intervalMs: number;
  readonly stateDir: string;
  /** Marks everything as demo data. */
  readonly demo?: boolean | undefined;
  /** Names this agent in the messages' headers; the machine's name when absent. */
  readonly agent?: string | undefined;
  /** For one whole scrape; 90 % of the interval and at most 10 s when absent. */
  readonly scrapeTimeoutMs?: number | undefined;
  readonly maxScrapeBytes?: number | undefined;
  /** 512 MiB when absent: about a week of one node with 8 GPUs at 10 s. */
  readonly spoolMaxBytes?: number | undefined;
  readonly kernelLogPollMs?: number | undefined;
  /** Publishes to this provider's own topics, where no other provider may write; to the shared ones when absent. */
  readonly topicsOfProvider?: string | undefined;
}

export interface CollectorOptions {
  readonly bus: Pick<EventBus, 'publish'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Pick<Telemetry, 'meter'>;
  readonly config: CollectorSettings;
}

const DEFAULT_SPOOL_BYTES = 512 * 1024 * 1024;
const DEFAULT_MAX_SCRAPE_BYTES = 16 * 1024 * 1024;
const DEFAULT_POLL_MS = 500;
const LONGEST_SCRAPE_MS = 10_000;
const PUBLISH_TIMEOUT_MS = 30_000;
/** Kernel lines name a PCI address; the first scrape tells which GPU that is, so that logs wait for it, this long. */
const FIRST_SCRAPE_WAIT_MS = 5_000;
/** How often the state is looked at; it is written at once when an event came, else every 30 s. */
const SAVE_TURN_MS = 1_000;
const SAVE_TURNS = 30;

/** The agent: scrapes exporters, follows kernel logs, and publishes what they say, through a spool. */
export function createCollector(options: CollectorOptions): Component {
  return new Collector(options);
}

class Collector implements Component {
  readonly name = 'collector';
  readonly #options: CollectorOptions;
  readonly #metrics: CollectorMetrics;
  readonly #stateFile: CollectorStateFile;
  readonly #stopping = new AbortController();
  #running: Running | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#metrics = collectorMetrics(options.telemetry);
    this.#stateFile = collectorStateFile(options.config.stateDir);
  }

  async start(): Promise<void> {
    const { clock, config, logger } = this.#options;
    const remembered = await this.#stateFile.load();
    const lastEpoch = BigInt(remembered.epoch);
    const now = BigInt(Math.max(0, clock.now()));
    const epoch = now > lastEpoch ? now : lastEpoch + 1n;
    // Kept before the first message leaves, so that no later start uses this epoch again.
    await this.#stateFile.save({ ...remembered, epoch: epoch.toString() });
    const spool = createSpool({
      directory: join(config.stateDir, 'spool'),
      maxBytes: config.spoolMaxBytes ?? DEFAULT_SPOOL_BYTES,
      logger,
    });
    this.#running = new Running(this.#options, {
      metrics: this.#metrics,
      stateFile: this.#stateFile,
      remembered: { ...remembered, epoch: epoch.toString() },
      spool,
      signal: this.#stopping.signal,
    });
    await this.#running.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('The collector is stopping.'));
    await this.#running?.stop();
  }
}

interface RunningParts {
  readonly metrics: CollectorMetrics;
  readonly stateFile: CollectorStateFile;
  readonly remembered: CollectorState;
  readonly spool: Spool;
  readonly signal: AbortSignal;
}

/** A collector between its start and its stop. */
class Running {
  readonly #options: CollectorOptions;
  readonly #parts: RunningParts;
  readonly #producer: MessageProducer;
  readonly #delivery: Delivery;
  readonly #sources: readonly ScrapeSource[];
  readonly #saver: Component;
  readonly #unwatchSpool: () => void;
  #logs: FollowKernelLog[] = [];
  #loops: Promise<void>[] = [];
  #saveSoon = false;
  #turnsSinceSave = 0;

  constructor(options: CollectorOptions, parts: RunningParts) {
    this.#options = options;
    this.#parts = parts;
    const { bus, clock, logger, config } = options;
    const agent = config.agent ?? hostname();
    const epoch = BigInt(parts.remembered.epoch);
    this.#producer = createMessageProducer(agent, epoch);
    const { metrics, spool } = parts;
    this.#delivery = createDelivery({
      bus,
      spool,
      clock,
      logger,
      metrics,
      publishTimeoutMs: PUBLISH_TIMEOUT_MS,
    });
    this.#unwatchSpool = metrics.watchSpool(spool);
    const identity = agentEventIdentity(agent, epoch);
    this.#sources = config.targets.map(
      (target) =>
        new ScrapeSource({
          target,
          intervalMs: config.intervalMs,
          timeoutMs:
            config.scrapeTimeoutMs ?? Math.min(LONGEST_SCRAPE_MS, Math.ceil(config.intervalMs * 0.9)),
          maxBytes: config.maxScrapeBytes ?? DEFAULT_MAX_SCRAPE_BYTES,
          demo: config.demo ?? false,
          clock,
          logger,
          metrics,
          identity,
          remembered: parts.remembered.sources[target.url],
          emit: (samples, events) => this.#emit(samples, events),
        }),
    );
    this.#saver = repeatEvery({
      name: 'collector-state',
      everyMs: SAVE_TURN_MS,
      clock,
      logger,
      run: () => this.#saveTurn(),
    });
  }

  async start(): Promise<void> {
    await this.#delivery.start();
    const firsts = this.#sources.map(
      (source) =>
        new Promise<void>((resolve) => {
          this.#loops.push(source.run(this.#parts.signal, resolve).finally(resolve));
        }),
    );
    this.#loops.push(this.#followLogs(Promise.all(firsts)));
    await this.#saver.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops);
    await this.#saver.stop();
    this.#unwatchSpool();
    await this.#delivery.stop();
    await this.#parts.stateFile.save(this.#state());
  }

  async #followLogs(firstScrapes: Promise<unknown>): Promise<void> {
    const { clock, config } = this.#options;
    const { signal } = this.#parts;
    if (config.kernelLogs.length === 0) return;
    await Promise.race([firstScrapes, clock.sleep(FIRST_SCRAPE_WAIT_MS, signal).catch(() => undefined)]);
    this.#logs = config.kernelLogs.map((log) => this.#logOf(log));
    await Promise.all(this.#logs.map((log) => log.run(signal)));
  }

  #logOf(log: KernelLogTarget): FollowKernelLog {
    const { clock, logger, config } = this.#options;
    const node = log.node ?? this.#onlyNode(log.file);
    return new FollowKernelLog({
      file: log.file,
      node,
      pool: log.pool,
      providerId: log.providerId,
      bootId: log.bootId,
      demo: config.demo,
      pollMs: config.kernelLogPollMs ?? DEFAULT_POLL_MS,
      clock,
      logger,
      metrics: this.#parts.metrics,
      remembered: this.#parts.remembered.logs[log.file],
      findGpu: (pciBusId) => this.#findGpu(node, pciBusId),
      nameInstance: (gpuUuid, instanceId) => this.#nameInstance(gpuUuid, instanceId),
      deliver: (events) => this.#delivery.deliver(this.#eventEntries(events)),
      moved: () => (this.#saveSoon = true),
    });
  }

  #onlyNode(file: string): string {
    const [source, ...others] = this.#sources;
    if (source !== undefined && others.length === 0) return source.node();
    throw new PoolmeterError(
      'config.invalid',
      `Say which node wrote ${file}: with several exporters it is not clear.`,
    );
  }

  /** A GPU that is lost keeps its address until another one is seen there: its last words are about it. */
  #findGpu(node: string, pciBusId: string): string | undefined {
    const at = this.#sources.flatMap((source) =>
      Object.entries(source.remember().gpus).filter(
        ([, gpu]) => gpu.node === node && normalPciBusId(gpu.pciBusId) === pciBusId,
      ),
    );
    const present = at.find(([, gpu]) => !gpu.lost);
    return (present ?? at[0])?.[0];
  }

  #nameInstance(gpuUuid: string, instanceId: string): string {
    const source = this.#sources.find((one) => gpuUuid in one.remember().gpus);
    return source?.nameInstance(gpuUuid, instanceId) ?? `${instanceId}/0`;
  }

  #emit(samples: readonly GpuSample[], events: readonly GpuEvent[]): void {
    const { metrics } = this.#parts;
    const messages = sampleMessages(samples, this.#producer, {
      onImplausible: (column) => metrics.implausible(column.unitColumn),
    });
    const topic = this.#topicOf(topics.gpuSamples);
    const entries = messages.map((message) => ({ topic, message }));
    if (events.length > 0) this.#saveSoon = true;
    // Not awaited: a bus that is away must not delay the next scrape. The delivery never rejects.
    void this.#delivery.deliver([...entries, ...this.#eventEntries(events)]);
  }

  #eventEntries(events: readonly GpuEvent[]): SpoolEntry[] {
    const topic = this.#topicOf(topics.gpuEvents);
    return eventMessages(events, this.#producer).map((message) => ({ topic, message }));
  }

  #topicOf(topic: AgentTopic): string {
    const provider = this.#options.config.topicsOfProvider;
    return provider === undefined ? topic : topicOfProvider(topic, provider);
  }

  async #saveTurn(): Promise<void> {
    this.#turnsSinceSave += 1;
    if (!this.#saveSoon && this.#turnsSinceSave < SAVE_TURNS) return;
    this.#saveSoon = false;
    this.#turnsSinceSave = 0;
    try {
      await this.#parts.stateFile.save(this.#state());
    } catch (fault) {
      this.#saveSoon = true;
      this.#options.logger.error(
        { reason: messageOf(fault) },
        'The state of the collector could not be kept.',
      );
    }
  }

  /** What is no longer configured is kept too: a target that is left out for a day keeps its epochs. */
  #state(): CollectorState {
    const { remembered } = this.#parts;
    const sources = this.#sources.map((source) => [source.url, source.remember()] as const);
    const logs = this.#logs.flatMap((log) => {
      const kept = log.remember();
      return kept === undefined ? [] : [[log.file, kept] as const];
    });
    return {
      version: 1,
      epoch: remembered.epoch,
      sources: { ...remembered.sources, ...Object.fromEntries(sources) },
      logs: { ...remembered.logs, ...Object.fromEntries(logs) },
    };
  }
}
