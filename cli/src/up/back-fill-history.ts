/**
 * The demo pool's past as an agent would have reported it, minute by minute: the simulator's exporter text and kernel
 * lines through the collector's own parsing, typing and encoding. Knows no bus and no clock.
 */
import {
  agentEventIdentity,
  createMessageProducer,
  createSampleBuilder,
  eventMessages,
  KernelLogEvents,
  normalPciBusId,
  sampleMessages,
  type MessageProducer,
  type SampleBuilder,
} from '@poolmeter/collector';
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { BusMessage } from '@poolmeter/event-bus';
import type { SimulatedPool } from '@poolmeter/pool-simulator';
import { parseMetrics } from 'dcgm-exporter-client';

/** What a stretch of history gave, ready to publish. */
export interface HistoryChunk {
  readonly until: EpochMs;
  readonly samples: readonly BusMessage[];
  readonly events: readonly BusMessage[];
}

export interface HistoryOptions {
  readonly pool: SimulatedPool;
  readonly until: EpochMs;
  readonly chunkMs: number;
  /** From one scrape to the next; a minute when absent. */
  readonly stepMs?: number;
  /** The agent's publish time of everything. */
  readonly publishedAt: EpochMs;
}

const MINUTE_MS = 60_000;
/** Fixed, so that an interrupted back-fill that begins again sends the same sequences and readers drop the repeats. */
const EPOCH = 1n;

/** Yields the whole history in chunks, oldest first. Equal pools give equal chunks. */
export function* historyChunks(options: HistoryOptions): Generator<HistoryChunk> {
  const { pool, until, chunkMs } = options;
  const nodes = new Map<string, NodeHistory>();
  let from = pool.startAt;
  while (from < until) {
    const to = instantFromMs(Math.min(from + chunkMs, until));
    yield oneChunk(options, { from, to, nodes });
    from = to;
  }
}

interface Stretch {
  readonly from: EpochMs;
  readonly to: EpochMs;
  readonly nodes: Map<string, NodeHistory>;
}

function oneChunk(
  { pool, publishedAt, stepMs = MINUTE_MS }: HistoryOptions,
  { from, to, nodes }: Stretch,
): HistoryChunk {
  const samples: BusMessage[] = [];
  const events: BusMessage[] = [];
  for (let at = from; at < to; at = instantFromMs(at + stepMs)) {
    const next = instantFromMs(Math.min(at + stepMs, to));
    pool.advanceTo(next);
    for (const { node, providerId } of pool.nodes()) {
      const history = nodes.get(node) ?? new NodeHistory(pool, { node, providerId });
      nodes.set(node, history);
      samples.push(...history.scrape(at, publishedAt));
      events.push(...history.logged(at, next));
    }
  }
  return { until: to, samples, events };
}

class NodeHistory {
  readonly #pool: SimulatedPool;
  readonly #node: string;
  readonly #builder: SampleBuilder;
  readonly #producer: MessageProducer;
  readonly #log: KernelLogEvents;
  readonly #gpuByAddress = new Map<string, string>();
  #pendingEvents: BusMessage[] = [];

  constructor(pool: SimulatedPool, { node, providerId }: { node: string; providerId: string }) {
    const agent = `back-fill:${node}`;
    const of = { node, pool: pool.shape.pool, providerId, demo: true };
    this.#pool = pool;
    this.#node = node;
    this.#producer = createMessageProducer(agent, EPOCH);
    this.#builder = createSampleBuilder({
      ...of,
      fallbackNode: node,
      identity: agentEventIdentity(agent, EPOCH),
    });
    this.#log = new KernelLogEvents({
      ...of,
      findGpu: (address) => this.#gpuByAddress.get(address),
      nameInstance: (_gpuUuid, instanceId) => `${instanceId}/0`,
    });
  }

  /** One scrape; an exporter that hangs, fails or is gone gives no samples, as in life. */
  scrape(at: EpochMs, publishedAt: EpochMs): BusMessage[] {
    const outcome = this.#pool.scrape(this.#node, at);
    if (outcome.kind !== 'text') return [];
    const { readings, faults } = parseMetrics(outcome.text);
    for (const { pciBusId, gpuUuid } of readings) {
      const address = normalPciBusId(pciBusId);
      if (address !== undefined) this.#gpuByAddress.set(address, gpuUuid);
    }
    const built = this.#builder.samplesFrom(readings, {
      ts: at,
      ingestedAt: publishedAt,
      badLines: faults.length,
    });
    this.#pendingEvents.push(...eventMessages(built.events, this.#producer));
    return sampleMessages(built.samples, this.#producer);
  }

  /** What the kernel logged in `[from, to)`, and what the scrapes found out. */
  logged(from: EpochMs, to: EpochMs): BusMessage[] {
    const lines = this.#pool.kernelLines(this.#node, from, to);
    const found = lines.length === 0 ? [] : eventMessages(this.#log.eventsFrom(lines, to), this.#producer);
    const all = [...this.#pendingEvents, ...found];
    this.#pendingEvents = [];
    return all;
  }
}
