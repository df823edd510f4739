/** One partition that this process owns: its writer, and what its messages tell about those that are missing. */
import type { MessageBatch } from '@poolmeter/event-bus';
import type { PartitionWriter } from './partition-writer.js';
import { SequenceWatch } from './sequence-watch.js';

/** Offsets `[from, to)` that were passed over. */
export interface OffsetJump {
  readonly from: bigint;
  readonly to: bigint;
}

export class OwnedPartition {
  readonly writer: PartitionWriter;
  readonly sequences = new SequenceWatch();
  /** When something of it was stored last, epoch milliseconds. */
  storedAtMs = -Infinity;
  #expected: bigint | undefined;
  #isBehind = false;

  /** `expected` is the first offset that nobody has stored; undefined when the group was never here. */
  constructor(writer: PartitionWriter, expected: bigint | undefined) {
    this.writer = writer;
    this.#expected = expected;
  }

  /** At least as much as was read last waits on the bus: full ranges matter more than early ones. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Takes a batch. Offsets that are passed over are returned: lost, or never used. */
  add({ messages, endOffset }: MessageBatch, nowMs: number): OffsetJump[] {
    const jumps: OffsetJump[] = [];
    const last = messages.at(-1)?.offset ?? endOffset;
    this.#isBehind = endOffset - last > BigInt(messages.length);
    for (const { offset } of messages) {
      const expected = this.#expected ?? offset;
      if (offset > expected) jumps.push({ from: expected, to: offset });
      if (offset >= expected) this.#expected = offset + 1n;
    }
    this.sequences.observe(messages, nowMs);
    this.writer.add(messages);
    return jumps;
  }

  /** The bus has told itself that reading goes on here. */
  expect(offset: bigint): void {
    if (this.#expected === undefined || offset > this.#expected) this.#expected = offset;
  }
}
