/** What every adapter of the event bus must do, as one suite: run by log-bus.test.ts and kafka-bus.int.test.ts. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collector, eventually, message, textOf, type BusBackend } from './bus-test-bench.js';
import type { EventBus, Subscription } from './event-bus.js';

export function eventBusContract(name: string, createBackend: () => Promise<BusBackend>): void {
  describe(`${name} keeps the event bus contract`, () => {
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

    async function newTopic(partitions = 1): Promise<string> {
      const topic = `contract-${randomUUID()}`;
      await bus.ensureTopics([{ name: topic, partitions }]);
      return topic;
    }
    const newGroup = () => `group-${randomUUID()}`;

    it('keeps the order of equal keys, whatever the number of partitions', async () => {
      const topic = await newTopic(4);
      const sends: Promise<void>[] = [];
      for (let round = 0; round < 25; round += 1) {
        sends.push(
          bus.publish(
            topic,
            ['a', 'b', 'c', 'd', 'e'].map((key) => message(key, `${key}${round}`)),
          ),
        );
      }
      await Promise.all(sends);
      const seen = collector();
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        ...seen,
      });
      await eventually(() => seen.messages.length >= 125, '125 messages arrive');
      await subscription.stop();
      for (const key of ['a', 'b', 'c', 'd', 'e']) {
        const ofKey = seen.messages.filter((one) => one.key === key);
        expect(ofKey.map(textOf)).toEqual(Array.from({ length: 25 }, (_, round) => `${key}${round}`));
        expect(new Set(ofKey.map((one) => one.partition)).size).toBe(1);
      }
    });

    it('gives offsets without gaps from 0, and ranges that fit them', async () => {
      const topic = await newTopic();
      expect(await bus.ranges(topic)).toEqual([{ topic, partition: 0, earliestOffset: 0n, nextOffset: 0n }]);
      await bus.publish(topic, [message('k', '0'), message('k', '1')]);
      await bus.publish(topic, [message('k', '2')]);
      const seen = collector();
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        ...seen,
      });
      await eventually(() => seen.messages.length === 3, 'three messages arrive');
      await subscription.stop();
      expect(seen.messages.map((one) => one.offset)).toEqual([0n, 1n, 2n]);
      expect(await bus.ranges(topic)).toEqual([{ topic, partition: 0, earliestOffset: 0n, nextOffset: 3n }]);
    });

    it('carries headers, empty and large values unchanged', async () => {
      const topic = await newTopic();
      const large = Buffer.alloc(950_000);
      for (let at = 0; at < large.length; at += 1) large[at] = (at * 31) % 251;
      const headers = { schema: 'gpu-sample', 'schema-version': '1', note: 'Überhitzt' };
      await bus.publish(topic, [message('k', '', headers), message('', large), message('k', 'end')]);
      const seen = collector();
      const before = Date.now();
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        ...seen,
      });
      await eventually(() => seen.messages.length === 3, 'three messages arrive');
      await subscription.stop();
      const [empty, big, end] = seen.messages;
      expect(empty).toMatchObject({ key: 'k', headers });
      expect(empty!.value.byteLength).toBe(0);
      expect(big!.key).toBe('');
      expect(Buffer.compare(big!.value, large)).toBe(0);
      expect(textOf(end!)).toBe('end');
      expect(Math.abs(end!.storedAtMs - before)).toBeLessThan(60_000);
    });

    it('refuses a message over the limit and a topic that does not exist, and stores nothing of that publish', async () => {
      const topic = await newTopic();
      const tooLarge = bus.publish(topic, [message('k', 'first'), message('k', Buffer.alloc(1_000_001))]);
      await expect(tooLarge).rejects.toMatchObject({ code: 'bus.rejected' });
      expect((await bus.ranges(topic))[0]?.nextOffset).toBe(0n);
      const unknown = bus.publish(`absent-${randomUUID()}`, [message('k', 'v')]);
      await expect(unknown).rejects.toMatchObject({ code: 'bus.rejected' });
      await bus.publish(topic, [message('k', 'still works')]);
      expect((await bus.ranges(topic))[0]?.nextOffset).toBe(1n);
    });

    it('keeps everything acknowledged, and positions with their notes, over a restart of the client', async () => {
      const topic = await newTopic();
      const group = newGroup();
      const first = backend.open();
      await first.publish(topic, [message('k', 'a'), message('k', 'b'), message('k', 'c')]);
      const seen = collector();
      const subscription = await first.subscribe({ group, topics: [topic], startAt: 'earliest', ...seen });
      await eventually(() => seen.messages.length === 3, 'three messages arrive');
      expect(seen.assigned).toEqual([{ topic, partition: 0, committed: undefined }]);
      const position = { topic, partition: 0, nextOffset: 1n, metadata: 'pending:1-2' };
      await subscription.commit(position);
      await subscription.stop();
      await first.close();

      const second = backend.open();
      expect(await second.committed(group, topic)).toEqual([position]);
      const again = collector();
      const resumed = await second.subscribe({ group, topics: [topic], startAt: 'earliest', ...again });
      await eventually(() => again.messages.length === 2, 'what was not committed arrives again');
      expect(again.assigned).toEqual([{ topic, partition: 0, committed: position }]);
      expect(again.messages.map(textOf)).toEqual(['b', 'c']);
      await resumed.commit({ ...position, nextOffset: 3n, metadata: '' });
      expect(await second.committed(group, topic)).toEqual([{ ...position, nextOffset: 3n, metadata: '' }]);
      await second.close();
    });

    it('delivers a batch again after a throw, and skips nothing', async () => {
      const topic = await newTopic();
      await bus.publish(topic, [message('k', 'a'), message('k', 'b')]);
      const attempts: string[][] = [];
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        onBatch: (batch) => {
          attempts.push(batch.messages.map(textOf));
          return attempts.length < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve();
        },
      });
      await eventually(() => attempts.flat().length >= 6, 'the batch is delivered a third time');
      await bus.publish(topic, [message('k', 'c')]);
      await eventually(() => attempts.at(-1)?.includes('c') === true, 'delivery goes on');
      await subscription.stop();
      expect(attempts.slice(0, 3)).toEqual([
        ['a', 'b'],
        ['a', 'b'],
        ['a', 'b'],
      ]);
      expect(attempts.slice(3).flat()).toEqual(['c']);
    });

    it('shares partitions between two consumers, which flush before they hand over', async () => {
      const topic = await newTopic(4);
      const group = newGroup();
      const delivered: string[] = [];
      const handedOver: string[] = [];
      const member = async (client: EventBus) => {
        const owned = new Map<number, bigint>();
        const subscription = await client.subscribe({
          group,
          topics: [topic],
          startAt: 'earliest',
          onAssigned: (assignments) => {
            for (const one of assignments) owned.set(one.partition, one.committed?.nextOffset ?? 0n);
            return Promise.resolve();
          },
          // Nothing is committed while reading: what the flush below does not commit would be delivered twice.
          onBatch: (batch) => {
            delivered.push(...batch.messages.map(textOf));
            owned.set(batch.partition, batch.messages.at(-1)!.offset + 1n);
            return Promise.resolve();
          },
          onRevoked: async (partitions) => {
            for (const { partition } of partitions) {
              const nextOffset = owned.get(partition) ?? 0n;
              await subscription.commit({ topic, partition, nextOffset, metadata: 'flushed' });
              owned.delete(partition);
              handedOver.push(`${partition}@${nextOffset}`);
            }
          },
        });
        return { owned, subscription };
      };
      const publishRound = (round: number) =>
        bus.publish(
          topic,
          Array.from({ length: 40 }, (_, key) => message(`key-${key}`, `${round}-${key}`)),
        );

      const other = backend.open();
      const one = await member(bus);
      await eventually(() => one.owned.size === 4, 'the first consumer owns everything');
      await publishRound(0);
      await eventually(() => delivered.length === 40, 'the first round arrives');
      const two = await member(other);
      await eventually(() => one.owned.size === 2 && two.owned.size === 2, 'each owns two');
      expect(handedOver.length).toBeGreaterThanOrEqual(2);
      await publishRound(1);
      await eventually(() => delivered.length === 80, 'the second round arrives');
      await two.subscription.stop();
      await eventually(() => one.owned.size === 4, 'the first consumer owns everything again');
      await publishRound(2);
      await eventually(() => delivered.length >= 120, 'the third round arrives');
      await one.subscription.stop();
      await other.close();
      const wanted = [0, 1, 2].flatMap((round) => Array.from({ length: 40 }, (_, key) => `${round}-${key}`));
      expect([...delivered].sort()).toEqual(wanted.sort());
      const positions = await bus.committed(group, topic);
      const sum = positions.reduce((total, position) => total + position.nextOffset, 0n);
      expect(sum).toBe(120n);
    });

    it('refuses commits for partitions that it does not own, and after stop', async () => {
      const topic = await newTopic(2);
      const group = newGroup();
      const seen = collector();
      const subscription = await bus.subscribe({ group, topics: [topic], startAt: 'earliest', ...seen });
      await eventually(() => seen.assigned.length === 2, 'the partitions are assigned');
      const position = { topic, partition: 0, nextOffset: 0n, metadata: 'x' };
      await expect(subscription.commit({ ...position, partition: 7 })).rejects.toMatchObject({
        code: 'bus.rejected',
      });
      await subscription.stop();
      await expect(subscription.commit(position)).rejects.toMatchObject({ code: 'bus.rejected' });
      expect(await bus.committed(group, topic)).toEqual([]);
    });

    it('stops delivery on pause, goes on at resume, and moves with seek', async () => {
      const topic = await newTopic();
      const seen = collector();
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        ...seen,
      });
      await eventually(() => seen.assigned.length === 1, 'the partition is assigned');
      subscription.pause([{ topic, partition: 0 }]);
      await pause(300);
      await bus.publish(topic, [message('k', '0'), message('k', '1'), message('k', '2')]);
      await pause(700);
      expect(seen.messages).toEqual([]);
      subscription.resume([{ topic, partition: 0 }]);
      await eventually(() => seen.messages.length === 3, 'the messages arrive after resume');
      await subscription.seek(topic, 0, 1n);
      await eventually(() => seen.messages.length === 5, 'the messages from offset 1 arrive again');
      await subscription.stop();
      expect(seen.messages.map((one) => one.offset)).toEqual([0n, 1n, 2n, 1n, 2n]);
    });

    it('begins where onAssigned seeks to', async () => {
      const topic = await newTopic();
      await bus.publish(
        topic,
        ['0', '1', '2', '3'].map((value) => message('k', value)),
      );
      const seen = collector();
      let sought = false;
      const holder: { subscription?: Subscription } = {};
      holder.subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        onBatch: seen.onBatch,
        // subscribe() may still be under way here; the seek waits for the subscription it belongs to.
        onAssigned: async () => {
          await eventually(() => holder.subscription !== undefined, 'subscribe has returned');
          await holder.subscription?.seek(topic, 0, 2n);
          sought = true;
        },
      });
      await eventually(() => sought && seen.messages.length >= 2, 'messages arrive');
      await holder.subscription.stop();
      expect(seen.messages.map(textOf)).toEqual(['2', '3']);
    });

    it('begins a group that never committed at the latest message when asked', async () => {
      const topic = await newTopic();
      await bus.publish(topic, [message('k', 'old')]);
      const seen = collector();
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'latest',
        ...seen,
      });
      await eventually(() => seen.assigned.length === 1, 'the partition is assigned');
      await pause(500);
      await bus.publish(topic, [message('k', 'new')]);
      await eventually(() => seen.messages.length > 0, 'the new message arrives');
      await subscription.stop();
      expect(seen.messages.map(textOf)).toEqual(['new']);
    });

    it('says how far a batch is from the end', async () => {
      const topic = await newTopic();
      await bus.publish(
        topic,
        Array.from({ length: 20 }, () => message('k', Buffer.alloc(10_000))),
      );
      const lags: bigint[] = [];
      const subscription = await bus.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        maxBatchBytes: 50_000,
        onBatch: (batch) => {
          lags.push(batch.endOffset - (batch.messages.at(-1)!.offset + 1n));
          return Promise.resolve();
        },
      });
      await eventually(() => lags.at(-1) === 0n, 'the last batch reaches the end');
      await subscription.stop();
      expect([...lags].sort((a, b) => (a > b ? -1 : 1))).toEqual(lags);
    });

    it('waits for callbacks at stop, and is closed for good after close', async () => {
      const topic = await newTopic();
      const client = backend.open();
      await client.publish(topic, [message('k', 'v')]);
      let [running, revoked] = [false, false];
      const subscription = await client.subscribe({
        group: newGroup(),
        topics: [topic],
        startAt: 'earliest',
        onBatch: async () => {
          running = true;
          await pause(400);
          running = false;
        },
        onRevoked: () => {
          expect(running).toBe(false);
          revoked = true;
          return Promise.resolve();
        },
      });
      await eventually(() => running, 'a batch is in hand');
      await subscription.stop();
      expect({ running, revoked }).toEqual({ running: false, revoked: true });
      await client.close();
      await client.close();
      await expect(client.publish(topic, [message('k', 'v')])).rejects.toMatchObject({ code: 'bus.closed' });
      await expect(client.ping()).rejects.toMatchObject({ code: 'bus.closed' });
      await bus.ping();
    });
  });
}
