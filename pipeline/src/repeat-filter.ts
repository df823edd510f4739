/**
 * Recognises repeats: an agent's, by (producer, epoch, key, sequence), and an operator's, by the place of the dead
 * letter that was sent again. Only what was really seen counts, never "a higher number was seen": a spool that drains
 * late sends low numbers after high ones.
 */
import type { StoredMessage } from '@poolmeter/event-bus';
import { redriveHeaders } from './redrive-headers.js';
import { senderOf } from './sender.js';

/** Inclusive, sorted, not touching: an agent that counts by one needs a single span. */
type Span = [first: bigint, last: bigint];

/** Spans per sender; the lowest is forgotten first. A repeat older than that is stored again: a double, not a loss. */
const SPANS_MAX = 64;
const SENDERS_MAX = 10_000;

export class RepeatFilter {
  readonly #seen = new Map<string, Span[]>();

  /** True when the message was seen before; remembers it otherwise. Messages without these headers never repeat. */
  isRepeat(message: StoredMessage): boolean {
    const isNewNumber = this.#remember(message);
    // The original was seen when it was refused, so that its number cannot tell: only its place can.
    const place = placeOf(message.headers[redriveHeaders.from]);
    if (place === undefined) return isNewNumber === false;
    return !addToSpans(this.#spansOf(JSON.stringify(['redriven', place.name])), place.offset);
  }

  /** False when the number was seen; undefined when the message has none. */
  #remember(message: StoredMessage): boolean | undefined {
    const sender = senderOf(message);
    if (sender === undefined) return undefined;
    const name = JSON.stringify([sender.producer, sender.epoch.toString(), sender.key]);
    return addToSpans(this.#spansOf(name), sender.sequence);
  }

  #spansOf(sender: string): Span[] {
    const spans = this.#seen.get(sender) ?? [];
    // Set again, so that the map stays in order of use and its first key is the one longest unused.
    this.#seen.delete(sender);
    this.#seen.set(sender, spans);
    if (this.#seen.size > SENDERS_MAX) {
      const [oldest] = this.#seen.keys();
      if (oldest !== undefined) this.#seen.delete(oldest);
    }
    return spans;
  }
}

/** Reads `topic/partition/offset`; undefined for anything else. */
function placeOf(text: string | undefined): { name: string; offset: bigint } | undefined {
  const [, name, offset] = /^(.+\/\d+)\/(\d{1,19})$/.exec(text ?? '') ?? [];
  return name === undefined || offset === undefined ? undefined : { name, offset: BigInt(offset) };
}

/** False when the number was in there already. */
function addToSpans(spans: Span[], number: bigint): boolean {
  let at = spans.length;
  while (at > 0 && (spans[at - 1]?.[0] ?? 0n) > number) at -= 1;
  const before = spans[at - 1];
  const after = spans[at];
  if (before !== undefined && number <= before[1]) return false;
  const joinsBefore = before !== undefined && before[1] + 1n === number;
  const joinsAfter = after !== undefined && number + 1n === after[0];
  if (joinsBefore && joinsAfter) {
    before[1] = after[1];
    spans.splice(at, 1);
  } else if (joinsBefore) before[1] = number;
  else if (joinsAfter) after[0] = number;
  else spans.splice(at, 0, [number, number]);
  if (spans.length > SPANS_MAX) spans.shift();
  return true;
}
