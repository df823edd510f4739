/** Lease events from the bus. A batch is recorded in one transaction, then committed; what cannot be read is set aside. */
import { isPoolmeterError, messageOf, type Clock, type ErrorCode } from '@poolmeter/domain';
import type { BusMessage, EventBus, MessageBatch, StoredMessage, Subscription } from '@poolmeter/event-bus';
import type { Component, Logger, Telemetry } from '@poolmeter/service';
import { leaseEventSchema, topics } from '@poolmeter/telemetry-schema';
import type { BillingStore } from '../database.js';
import { recordLeaseEvents } from './record-lease-events.js';
import { leaseEventFactsFrom, type LeaseEventFacts } from './recorded-lease-event.js';

export interface ConsumerDeps {
  readonly bus: EventBus;
  readonly store: BillingStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Pick<Telemetry, 'meter'>;
  readonly group: string;
}

export function createLeaseEventConsumer(deps: ConsumerDeps): Component {
  const outcomes = deps.telemetry.meter.createCounter('poolmeter.billing.lease_events', {
    description: 'Lease events from the bus, by what became of them.',
  });
  // A first batch may come before `subscribe` has returned.
  let subscribed: (subscription: Subscription) => void = () => undefined;
  const subscription = new Promise<Subscription>((resolve) => (subscribed = resolve));
  let started = false;
  const handle = async (batch: MessageBatch): Promise<void> => {
    const { recorded, refused } = await recordBatch(deps, batch.messages);
    outcomes.add(recorded, { outcome: 'recorded' });
    outcomes.add(refused.length, { outcome: 'refused' });
    if (refused.length > 0) {
      await deps.bus.publish(topics.deadLetter, refused.map(deadLetterOf));
      const [first] = refused;
      deps.logger.warn({ count: refused.length, first: first?.reason }, 'Lease events were set aside.');
    }
    const last = batch.messages.at(-1);
    if (last === undefined) return;
    await (
      await subscription
    ).commit({
      topic: batch.topic,
      partition: batch.partition,
      nextOffset: last.offset + 1n,
      metadata: '',
    });
  };
  return {
    name: 'lease event consumer',
    async start() {
      subscribed(
        await deps.bus.subscribe({
          group: deps.group,
          topics: [topics.leaseEvents],
          startAt: 'earliest',
          onBatch: handle,
        }),
      );
      started = true;
    },
    async stop() {
      if (started) await (await subscription).stop();
    },
  };
}

interface Refused {
  readonly message: StoredMessage;
  readonly code: ErrorCode;
  readonly reason: string;
}

interface ReadMessage {
  readonly message: StoredMessage;
  readonly event: LeaseEventFacts;
}

async function recordBatch(
  deps: ConsumerDeps,
  messages: readonly StoredMessage[],
): Promise<{ recorded: number; refused: Refused[] }> {
  const readings = messages.map(readMessage);
  const unreadable = readings.filter((one): one is Refused => 'reason' in one);
  const read = readings.filter((one): one is ReadMessage => 'event' in one);
  try {
    await recordAll(deps, read);
    return { recorded: read.length, refused: unreadable };
  } catch (fault) {
    if (!isInputFault(fault)) throw fault;
    const refused = await recordOneByOne(deps, read);
    return { recorded: read.length - refused.length, refused: [...unreadable, ...refused] };
  }
}

/** One bad event must not keep the good ones out. */
async function recordOneByOne(deps: ConsumerDeps, read: readonly ReadMessage[]): Promise<Refused[]> {
  const refused: Refused[] = [];
  for (const one of read) {
    try {
      await recordAll(deps, [one]);
    } catch (fault) {
      if (!isPoolmeterError(fault) || !isInputFault(fault)) throw fault;
      refused.push({ message: one.message, code: fault.code, reason: fault.message });
    }
  }
  return refused;
}

async function recordAll(deps: ConsumerDeps, read: readonly ReadMessage[]): Promise<void> {
  await recordLeaseEvents(
    deps.store,
    read.map((one) => one.event),
    { clock: deps.clock, source: 'bus', onOverlap: 'hold', onUnknownLease: 'keep' },
  );
}

function readMessage(message: StoredMessage): ReadMessage | Refused {
  try {
    const value: unknown = JSON.parse(Buffer.from(message.value).toString('utf8'));
    return { message, event: leaseEventFactsFrom(leaseEventSchema.parse(value)) };
  } catch (fault) {
    return { message, code: 'wire.malformed', reason: messageOf(fault) };
  }
}

/** What another try would not change. A fault of the database is not the message's. */
function isInputFault(fault: unknown): boolean {
  return isPoolmeterError(fault) && !fault.retriable && /^(input|lease|wire)\./.test(fault.code);
}

const REASON_CHARS_MAX = 1_000;

function deadLetterOf({ message, code, reason }: Refused): BusMessage {
  return {
    key: message.key,
    headers: {
      ...message.headers,
      'dead-letter-code': code,
      'dead-letter-reason': reason.slice(0, REASON_CHARS_MAX),
      'dead-letter-topic': message.topic,
      'dead-letter-partition': String(message.partition),
      'dead-letter-offset': message.offset.toString(),
    },
    value: message.value,
  };
}
