/** The second half of the bus contract: topics that come later, lag, and offsets that are gone. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collector, eventually, message, textOf, type BusBackend } from './bus-test-bench.js';
import type { EventBus } from './event-bus.js';

export function positionContract(name: string, createBackend: () => Promise<BusBackend>): void {
  describe(`${name} keeps the contract of topics and positions`, () => {
    let backend: BusBackend;
    let bus: EventBus;
    beforeAll(async () => {
      backend = await createBackend();
      bus = backend.open();
    });
    afterAll(async () => {
      await bus.close();
      await backend.dispose();
    });
    const publish = (topic: string, values: readonly string[]) =>
      bus.publish(
        topic,
        values.map((value) => message('k', value)),
      );

    it('lists the topics of a family and reads those that are created later', async () => {
      const family = `samples-${randomUUID()}`;
      const group = randomUUID();
      const [north, south] = [`${family}.north`, `${family}.south`];
      await bus.ensureTopics(
        [family, `${family}-other`, north].map((topic) => ({ name: topic, partitions: 2 })),
      );
      expect(await bus.topics(family)).toEqual([family, north]);
      for (const topic of [family, `${family}-other`, north]) await publish(topic, [topic]);
      const seen = collector();
      const other = backend.open();
      const options = { group, topics: [], topicFamilies: [family], startAt: 'earliest' } as const;
      const members = [
        await bus.subscribe({ ...options, ...seen }),
        await other.subscribe({ ...options, ...seen }),
      ];
      await eventually(() => seen.messages.length >= 2, 'the topics that were there are read');
      expect(seen.messages.map(textOf).sort()).toEqual([family, north]);
      await bus.ensureTopics([{ name: south, partitions: 2 }]);
      await publish(south, ['later']);
      await eventually(() => seen.messages.some((one) => one.topic === south), 'the new topic is read');
      await eventually(
        () => seen.assigned.filter((one) => one.topic === south).length >= 2,
        'both partitions of the new topic have an owner',
      );
      for (const member of members) await member.stop();
      await other.close();
      expect(seen.gaps).toEqual([]);
      expect(seen.messages.filter((one) => one.topic === south).map(textOf)).toEqual(['later']);
    });

    it('waits for the first topic of a family', async () => {
      const family = `family-${randomUUID()}`;
      const seen = collector();
      const subscription = await bus.subscribe({
        group: randomUUID(),
        topics: [],
        topicFamilies: [family],
        startAt: 'earliest',
        ...seen,
      });
      await bus.ensureTopics([{ name: `${family}.first`, partitions: 1 }]);
      await publish(`${family}.first`, ['a']);
      await eventually(() => seen.messages.length === 1, 'its message is read');
      await subscription.stop();
    });

    it('says per partition what there is and how far a group is behind', async () => {
      const topic = `lag-${randomUUID()}`;
      const group = randomUUID();
      await bus.ensureTopics([{ name: topic, partitions: 1 }]);
      await publish(topic, ['0', '1', '2', '3', '4']);
      const range = { topic, partition: 0, earliestOffset: 0n, nextOffset: 5n };
      expect(await bus.lag(group, topic)).toEqual([{ ...range, position: 0n, lag: 5n }]);
      const seen = collector();
      const subscription = await bus.subscribe({ group, topics: [topic], startAt: 'earliest', ...seen });
      await eventually(() => seen.messages.length === 5, 'all are read');
      expect(await bus.lag(group, topic)).toEqual([{ ...range, position: 0n, lag: 5n }]);
      await subscription.commit({ topic, partition: 0, nextOffset: 3n, metadata: '' });
      expect(await bus.lag(group, topic)).toEqual([{ ...range, position: 3n, lag: 2n }]);
      await subscription.stop();
      await backend.dropStored(topic);
      expect(await bus.lag(group, topic)).toEqual([{ ...range, earliestOffset: 5n, position: 3n, lag: 0n }]);
    });

    it('tells what was removed before a group came back for it, and goes on with what is left', async () => {
      const topic = `removed-${randomUUID()}`;
      const group = randomUUID();
      await bus.ensureTopics([{ name: topic, partitions: 1 }]);
      await publish(topic, ['0', '1', '2', '3']);
      const options = { group, topics: [topic], startAt: 'latest' } as const;
      const before = collector();
      const first = await bus.subscribe({ ...options, startAt: 'earliest', ...before });
      await eventually(() => before.messages.length === 4, 'all are read');
      const position = { topic, partition: 0, nextOffset: 1n, metadata: 'pending:1-2' };
      await first.commit(position);
      await first.stop();
      await backend.dropStored(topic);
      await publish(topic, ['4', '5']);

      // Even a group that would begin at the end reads all that is still there.
      const seen = collector();
      const second = await bus.subscribe({ ...options, ...seen });
      await eventually(() => seen.messages.length >= 2, 'what is left arrives');
      await second.stop();
      expect(seen.assigned).toEqual([{ topic, partition: 0, committed: position }]);
      expect(seen.gaps).toEqual([{ topic, partition: 0, kind: 'removed', fromOffset: 1n, toOffset: 4n }]);
      expect(seen.messages.map(textOf)).toEqual(['4', '5']);
      expect(await bus.committed(group, topic)).toEqual([position]);
    });

    it('tells what was removed under a reader that had stopped to read, and keeps its position', async () => {
      const topic = `overtaken-${randomUUID()}`;
      const group = randomUUID();
      await bus.ensureTopics([{ name: topic, partitions: 1 }]);
      await publish(topic, ['0', '1']);
      const seen = collector();
      const subscription = await bus.subscribe({
        group,
        topics: [topic],
        startAt: 'earliest',
        maxBatchBytes: 100_000,
        ...seen,
      });
      await eventually(() => seen.messages.length === 2, 'the first two are read');
      const position = { topic, partition: 0, nextOffset: 2n, metadata: 'note' };
      await subscription.commit(position);
      subscription.pause([{ topic, partition: 0 }]);
      const large = 'x'.repeat(90_000);
      for (let at = 2; at < 20; at += 1) await publish(topic, [large]);
      await backend.dropStored(topic);
      await publish(topic, ['20']);
      subscription.resume([{ topic, partition: 0 }]);
      await eventually(() => seen.messages.some((one) => one.offset === 20n), 'reading goes on');
      const offsets = seen.messages.map((one) => one.offset);
      const [gap] = seen.gaps;
      // What had been fetched ahead is delivered; all the rest is told, without a hole between the two.
      expect(seen.gaps).toHaveLength(1);
      expect(gap).toMatchObject({ kind: 'removed', toOffset: 20n });
      const read = offsets.filter((offset) => offset < 20n);
      expect(read).toEqual(Array.from({ length: Number(gap?.fromOffset) }, (_, at) => BigInt(at)));
      expect(await bus.committed(group, topic)).toEqual([position]);
      await subscription.stop();
    });

    it('tells when a partition ends before the offset that the group had reached', async () => {
      const topic = `truncated-${randomUUID()}`;
      const group = randomUUID();
      await bus.ensureTopics([{ name: topic, partitions: 1 }]);
      await publish(topic, ['0', '1', '2']);
      const before = collector();
      const first = await bus.subscribe({ group, topics: [topic], startAt: 'earliest', ...before });
      await eventually(() => before.assigned.length === 1, 'the partition is assigned');
      await first.commit({ topic, partition: 0, nextOffset: 1_000n, metadata: '' });
      await first.stop();
      const seen = collector();
      const second = await bus.subscribe({ group, topics: [topic], startAt: 'earliest', ...seen });
      await eventually(() => seen.gaps.length === 1, 'the cut is told');
      await publish(topic, ['3']);
      await eventually(() => seen.messages.length >= 1, 'what comes after it is read');
      await second.stop();
      expect(seen.gaps).toEqual([
        { topic, partition: 0, kind: 'truncated', fromOffset: 1_000n, toOffset: 3n },
      ]);
      expect(seen.messages.map(textOf)).toEqual(['3']);
    });

    it('begins a batch at each partition without waiting for another one', async () => {
      const topic = `side-by-side-${randomUUID()}`;
      await bus.ensureTopics([{ name: topic, partitions: 2 }]);
      const stuck = new AbortController();
      const released = once(stuck.signal, 'abort');
      const counts = [0, 0];
      let slow: number | undefined;
      const subscription = await bus.subscribe({
        group: randomUUID(),
        topics: [topic],
        startAt: 'earliest',
        onBatch: async ({ partition, messages }) => {
          slow ??= partition;
          if (partition === slow) await released;
          counts[partition] = (counts[partition] ?? 0) + messages.length;
        },
      });
      for (let round = 0; round < 5; round += 1) {
        await bus.publish(
          topic,
          Array.from({ length: 20 }, (_, key) => message(`key-${key}`, `${round}`)),
        );
      }
      const [first, second] = await bus.ranges(topic);
      const ends = [Number(first?.nextOffset), Number(second?.nextOffset)];
      await eventually(() => slow !== undefined, 'a batch is in hand');
      const fast = slow === 0 ? 1 : 0;
      await eventually(() => counts[fast] === ends[fast], 'the other partition is read to its end');
      expect(counts[slow ?? 0]).toBe(0);
      stuck.abort();
      await eventually(() => counts[0] === ends[0] && counts[1] === ends[1], 'both are read');
      await subscription.stop();
    });
  });
}
