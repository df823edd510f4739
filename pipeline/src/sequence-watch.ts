/**
 * Notices what agents sent and nobody got: numbers that are missing between those that arrived. A number that comes
 * late closes its gap again. Pure, so that every order of arrival can be tested.
 */
import type { StoredMessage } from '@poolmeter/event-bus';
import { senderOf } from './sender.js';

/** Numbers `[first, last]` of one sender that did not arrive, both inclusive. */
export interface SequenceGap {
  readonly producer: string;
  readonly epoch: bigint;
  /** The message key: the node. */
  readonly key: string;
  readonly first: bigint;
  readonly last: bigint;
  readonly missing: bigint;
}

interface Gap extends SequenceGap {
  readonly sinceMs: number;
  isReported: boolean;
  left: bigint;
}

/** A piece of a gap that is still open. */
interface Hole {
  first: bigint;
  last: bigint;
  readonly gap: Gap;
}

interface Sender {
  epoch: bigint;
  next: bigint;
  holes: Hole[];
}

/** Beyond these the sender longest unused, and a sender's oldest hole, are forgotten. */
const SENDERS_MAX = 10_000;
const HOLES_MAX = 64;

export interface GapNews {
  /** Gaps that have been open for the whole window, told once. */
  readonly open: readonly SequenceGap[];
  /** Gaps that were told and are now closed. */
  readonly filled: readonly SequenceGap[];
}

export class SequenceWatch {
  readonly #senders = new Map<string, Sender>();
  readonly #unreported = new Set<Gap>();
  #filled: SequenceGap[] = [];
  #openCount = 0;

  /** Gaps that were told and are not closed. */
  get openCount(): number {
    return this.#openCount;
  }

  /** Takes messages in offset order; what came before the position may be among them. */
  observe(messages: readonly StoredMessage[], nowMs: number): void {
    for (const message of messages) {
      const from = senderOf(message);
      // A redriven message has its old number, which says nothing about what its sender sends now.
      if (from !== undefined && from.redrivenFrom === undefined) this.#observe(from, nowMs);
    }
  }

  /** What has changed since the last call. */
  news(nowMs: number, windowMs: number): GapNews {
    const open: SequenceGap[] = [];
    for (const gap of this.#unreported) {
      if (nowMs - gap.sinceMs < windowMs) continue;
      this.#unreported.delete(gap);
      gap.isReported = true;
      this.#openCount += 1;
      open.push(withoutState(gap));
    }
    const filled = this.#filled;
    this.#filled = [];
    return { open, filled };
  }

  #observe(from: { producer: string; epoch: bigint; key: string; sequence: bigint }, nowMs: number): void {
    const { producer, epoch, key, sequence } = from;
    const name = JSON.stringify([producer, key]);
    const known = this.#senders.get(name);
    const sender = known ?? { epoch, next: sequence, holes: [] };
    // Set again, so that the map stays in order of use.
    this.#senders.delete(name);
    this.#senders.set(name, sender);
    if (known === undefined) this.#forgetOldest();
    if (epoch > sender.epoch) {
      // A producer counts from 0 in each of its lives.
      sender.epoch = epoch;
      sender.next = 0n;
    }
    if (epoch === sender.epoch && sequence >= sender.next) {
      if (sequence > sender.next) {
        const [first, last] = [sender.next, sequence - 1n];
        this.#open(sender, { producer, epoch, key, first, last, missing: last - first + 1n }, nowMs);
      }
      sender.next = sequence + 1n;
    } else this.#fill(sender, epoch, sequence);
  }

  #open(sender: Sender, facts: SequenceGap, nowMs: number): void {
    const gap = { ...facts, sinceMs: nowMs, isReported: false, left: facts.missing };
    this.#unreported.add(gap);
    sender.holes.push({ first: gap.first, last: gap.last, gap });
    if (sender.holes.length > HOLES_MAX) sender.holes.shift();
  }

  #fill(sender: Sender, epoch: bigint, sequence: bigint): void {
    const at = sender.holes.findIndex(
      ({ gap, first, last }) => gap.epoch === epoch && first <= sequence && sequence <= last,
    );
    const hole = sender.holes[at];
    if (hole === undefined) return;
    const { gap, first, last } = hole;
    const rest = [
      { first, last: sequence - 1n, gap },
      { first: sequence + 1n, last, gap },
    ].filter((piece) => piece.first <= piece.last);
    sender.holes.splice(at, 1, ...rest);
    gap.left -= 1n;
    if (gap.left > 0n) return;
    this.#unreported.delete(gap);
    if (!gap.isReported) return;
    this.#openCount -= 1;
    this.#filled.push(withoutState(gap));
  }

  #forgetOldest(): void {
    if (this.#senders.size <= SENDERS_MAX) return;
    const [oldest] = this.#senders.keys();
    if (oldest !== undefined) this.#senders.delete(oldest);
  }
}

function withoutState({ producer, epoch, key, first, last, missing }: Gap): SequenceGap {
  return { producer, epoch, key, first, last, missing };
}
