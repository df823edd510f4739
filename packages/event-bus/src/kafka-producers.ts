/** Idempotent producers that several partitions share, and that are left for good once one of them is in doubt. */
import type { Logger } from '@poolmeter/service';
import { Partitioners, type Kafka, type Producer } from 'kafkajs';

/** One partition's hold on a producer. */
export interface HeldProducer {
  readonly producer: Producer;
  /** True once any holder spoiled it: whoever has nothing unsettled should take another. */
  readonly spoiled: boolean;
  /** Connects it anew with the same producer id and sequences, when kafkajs does not find back by itself. */
  reconnect(): Promise<void>;
  /** Gives it back. `spoil` says that its sequence is in doubt, so that nobody takes it again. */
  release(spoil?: 'spoil'): void;
}

/** Stale metadata would hide added partitions and moved leaders; a look costs one small request. */
const METADATA_AGE_MS = 30_000;
/** Short: what is not settled then is repeated unchanged by the lane, which knows when to give up. */
const SEND_RETRY = { initialRetryTime: 100, maxRetryTime: 500, retries: 2 } as const;

export class KafkaProducers {
  readonly #kafka: Kafka;
  readonly #logger: Logger;
  readonly #leaving = new Set<Promise<void>>();
  #current: Shared | undefined;

  constructor(kafka: Kafka, logger: Logger) {
    this.#kafka = kafka;
    this.#logger = logger;
  }

  async hold(): Promise<HeldProducer> {
    const shared = (this.#current ??= this.#open());
    shared.holders += 1;
    try {
      const producer = await shared.connected;
      return {
        producer,
        get spoiled() {
          return shared.spoiled;
        },
        reconnect: () => this.#reconnect(shared),
        release: (spoil) => {
          if (spoil !== undefined) this.#spoil(shared);
          this.#leave(shared);
        },
      };
    } catch (fault) {
      this.#spoil(shared);
      this.#leave(shared);
      throw fault;
    }
  }

  /** Disconnects what is still connected; the holders must have released before. */
  async close(): Promise<void> {
    if (this.#current !== undefined) {
      const shared = this.#current;
      shared.holders += 1;
      this.#spoil(shared);
      this.#leave(shared);
    }
    await Promise.all(this.#leaving);
  }

  #open(): Shared {
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      metadataMaxAge: METADATA_AGE_MS,
      retry: SEND_RETRY,
    });
    return { producer, connected: producer.connect().then(() => producer), holders: 0, spoiled: false };
  }

  /** kafkajs keeps the producer's identity over a disconnect, so that the batch in doubt can still be repeated. */
  #reconnect(shared: Shared): Promise<void> {
    shared.reconnecting ??= (async () => {
      await shared.producer.disconnect();
      await shared.producer.connect();
    })().finally(() => {
      shared.reconnecting = undefined;
    });
    return shared.reconnecting;
  }

  #spoil(shared: Shared): void {
    shared.spoiled = true;
    if (this.#current === shared) this.#current = undefined;
  }

  #leave(shared: Shared): void {
    shared.holders -= 1;
    if (shared.holders > 0 || !shared.spoiled) return;
    const gone = shared.producer.disconnect().catch((fault: unknown) => {
      this.#logger.warn({ err: fault }, 'A producer did not disconnect cleanly; it is not used again.');
    });
    this.#leaving.add(gone);
    void gone.then(() => this.#leaving.delete(gone));
  }
}

interface Shared {
  readonly producer: Producer;
  readonly connected: Promise<Producer>;
  holders: number;
  spoiled: boolean;
  reconnecting?: Promise<void> | undefined;
}
