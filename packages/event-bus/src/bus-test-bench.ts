/** What the contract suite and the tests of both adapters stand on: a backend, messages, waiting, collecting. */
import { setTimeout as pause } from 'node:timers/promises';
import type {
  Assignment,
  BusMessage,
  EventBus,
  OffsetGap,
  StoredMessage,
  SubscribeOptions,
} from './event-bus.js';

/** One running backend; `open` connects to it anew, as another process would. */
export interface BusBackend {
  open(): EventBus;
  /** Removes what the topic holds, as retention would. */
  dropStored(topic: string): Promise<void>;
  dispose(): Promise<void>;
}

export function message(
  key: string,
  value: string | Uint8Array,
  headers: Record<string, string> = {},
): BusMessage {
  return { key, headers, value: typeof value === 'string' ? Buffer.from(value) : value };
}

export const textOf = (stored: { value: Uint8Array }): string => Buffer.from(stored.value).toString();

/** Polls, because the two adapters take different times: the log milliseconds, a Kafka rebalance seconds. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Not so after ${limitMs} ms: ${what}`);
    await pause(20);
  }
}

export interface Collected {
  readonly messages: StoredMessage[];
  readonly assigned: Assignment[];
  readonly gaps: OffsetGap[];
}

export function collector(): Collected &
  Required<Pick<SubscribeOptions, 'onBatch' | 'onAssigned' | 'onGap'>> {
  const messages: StoredMessage[] = [];
  const assigned: Assignment[] = [];
  const gaps: OffsetGap[] = [];
  return {
    messages,
    assigned,
    gaps,
    onGap: (gap) => {
      gaps.push(gap);
      return Promise.resolve();
    },
    onAssigned: (assignments) => {
      assigned.push(...assignments);
      return Promise.resolve();
    },
    onBatch: (batch) => {
      messages.push(...batch.messages);
      return Promise.resolve();
    },
  };
}
