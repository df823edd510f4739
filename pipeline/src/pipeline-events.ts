/** Events that the pipeline itself notices: they take the same way to `gpu_events` as those of agents. */
import { messageOf, type Clock } from '@poolmeter/domain';
import type { BusMessage, EventBus } from '@poolmeter/event-bus';
import type { Logger } from '@poolmeter/service';
import {
  encodeGpuEvent,
  GPU_EVENT_SCHEMA_VERSION,
  messageHeadersFor,
  parseAgentTopic,
  topics,
  type GpuEvent,
} from '@poolmeter/telemetry-schema';
import { PIPELINE_PRODUCER, type ForeignClaim } from './agent-topic-rules.js';
import type { SequenceGap } from './sequence-watch.js';

const WAITING_MAX = 1_000;
const CLAIMS_MAX = 10_000;
const HOUR_MS = 3_600_000;

export interface PipelineEventsOptions {
  readonly bus: Pick<EventBus, 'publish'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Identities follow from what happened, so that two pipelines, or one after a restart, tell the same thing once.
 * While the bus is away events wait in memory, the oldest leaving first; each was logged when it was noticed.
 */
export class PipelineEvents {
  readonly #options: PipelineEventsOptions;
  readonly #epoch: bigint;
  readonly #claims = new Map<string, number>();
  #sequence = 0n;
  #waiting: BusMessage[] = [];

  constructor(options: PipelineEventsOptions) {
    this.#options = options;
    this.#epoch = BigInt(Math.max(0, options.clock.now()));
  }

  onGap(kind: 'telemetry.gap' | 'telemetry.gap_filled', topic: string, gap: SequenceGap): void {
    const { producer, epoch, key, first, last, missing } = gap;
    const numbers = first === last ? `message ${first}` : `messages ${first} to ${last}`;
    const sentence =
      kind === 'telemetry.gap'
        ? `${numbers} of ${producer} for ${key} on ${topic} did not arrive.`
        : `${numbers} of ${producer} for ${key} on ${topic} arrived late; the gap is closed.`;
    const details = { topic, producer, epoch: epoch.toString(), key, missing: missing.toString() };
    if (kind === 'telemetry.gap') this.#options.logger.warn(details, sentence);
    else this.#options.logger.info(details, sentence);
    this.#add({
      bootId: `${topic} ${producer}/${epoch}`,
      sequence: first,
      node: key,
      providerId: parseAgentTopic(topic)?.provider ?? '',
      kind,
      message: sentence,
      detail: { ...details, first_sequence: first.toString(), last_sequence: last.toString() },
    });
  }

  /**
   * Told once per hour, provider and node. The event stands under the provider, not under the node: nobody may write
   * into the history of somebody else's hardware.
   */
  onForeign(claim: ForeignClaim): void {
    const { provider, node, reason, topic, partition, offset } = claim;
    const hour = Math.floor(this.#options.clock.now() / HOUR_MS);
    const name = JSON.stringify([provider, node]);
    if (this.#claims.get(name) === hour) return;
    this.#claims.delete(name);
    this.#claims.set(name, hour);
    const [oldest] = this.#claims.keys();
    if (this.#claims.size > CLAIMS_MAX && oldest !== undefined) this.#claims.delete(oldest);
    const place = { topic, partition, offset: offset.toString() };
    const sentence = `Provider ${provider} sent samples of node ${node}: ${reason}. They are in ingest_rejects.`;
    this.#options.logger.error({ ...place, provider, node }, sentence);
    this.#add({
      bootId: `foreign ${node}`,
      sequence: BigInt(hour),
      node: `provider:${provider}`,
      providerId: provider,
      kind: 'provider.foreign_node',
      message: sentence,
      detail: { ...place, node, reason },
    });
  }

  /** Publishes what waits; what the bus does not take waits on. */
  async flush(): Promise<void> {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    try {
      await this.#options.bus.publish(topics.gpuEvents, batch);
    } catch (fault) {
      this.#waiting = [...batch, ...this.#waiting].slice(-WAITING_MAX);
      const reason = messageOf(fault);
      this.#options.logger.warn({ events: batch.length, reason }, 'Events of the pipeline wait for the bus.');
    }
  }

  #add(
    facts: Pick<GpuEvent, 'bootId' | 'sequence' | 'node' | 'providerId' | 'kind' | 'message' | 'detail'>,
  ): void {
    const event: GpuEvent = {
      ...facts,
      ts: this.#options.clock.now(),
      gpuUuid: '',
      gpuInstance: '',
      pool: '',
      code: 0,
      demo: false,
    };
    this.#sequence += 1n;
    const headers = messageHeadersFor({
      schema: 'gpu-event',
      schemaVersion: GPU_EVENT_SCHEMA_VERSION,
      producer: PIPELINE_PRODUCER,
      producerEpoch: this.#epoch,
      sequence: this.#sequence,
    });
    this.#waiting.push({ key: event.node, headers, value: encodeGpuEvent(event) });
    if (this.#waiting.length > WAITING_MAX) this.#waiting.shift();
  }
}
