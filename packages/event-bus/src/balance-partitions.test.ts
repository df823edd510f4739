import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { balancePartitions } from './balance-partitions.js';
import { murmur2, partitionOfKey } from './key-partition.js';

const member = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const partitionsByTopic = new Map([
  ['samples', 8],
  ['events', 3],
  ['billing', 1],
]);
const all = [...partitionsByTopic].flatMap(([topic, count]) =>
  Array.from({ length: count }, (_, partition) => `${topic}/${partition}`),
);

const groupArbitrary = fc.record({
  members: fc.uniqueArray(fc.tuple(member, fc.subarray([...partitionsByTopic.keys()])), {
    selector: ([name]) => name,
    maxLength: 5,
  }),
  owners: fc.array(fc.tuple(fc.constantFrom(...all), member)),
});

describe('balancing partitions', () => {
  it('gives every partition that somebody reads to one of its readers, evenly within each topic', () => {
    fc.assert(
      fc.property(groupArbitrary, ({ members, owners }) => {
        const input = { members: new Map(members), partitionsByTopic, owners: new Map(owners) };
        const target = balancePartitions(input);
        for (const [topic, count] of partitionsByTopic) {
          const readers = members.filter(([, topics]) => topics.includes(topic)).map(([name]) => name);
          const given = Array.from({ length: count }, (_, partition) => target.get(`${topic}/${partition}`));
          if (readers.length === 0) {
            expect(given.every((owner) => owner === undefined)).toBe(true);
            continue;
          }
          const loads = readers.map((reader) => given.filter((owner) => owner === reader).length);
          expect(loads.reduce((sum, load) => sum + load, 0)).toBe(count);
          expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it('changes nothing that is balanced, and takes only what a newcomer needs', () => {
    fc.assert(
      fc.property(groupArbitrary, ({ members, owners }) => {
        const first = balancePartitions({
          members: new Map(members),
          partitionsByTopic,
          owners: new Map(owners),
        });
        const again = balancePartitions({ members: new Map(members), partitionsByTopic, owners: first });
        expect(again).toEqual(first);
      }),
    );
    const topics = ['samples'];
    const alone = balancePartitions({
      members: new Map([['a', topics]]),
      partitionsByTopic,
      owners: new Map(),
    });
    const members = new Map([
      ['a', topics],
      ['b', topics],
    ]);
    const shared = balancePartitions({ members, partitionsByTopic, owners: alone });
    expect([...shared].filter(([name, owner]) => alone.get(name) !== owner)).toHaveLength(4);
  });
});

describe('the partition of a key', () => {
  // From the tests of Kafka's own clients (UtilsTest.testMurmur2).
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %s as Kafka does', (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash);
    expect(partitionOfKey(key, 12)).toBe((hash & 0x7fffffff) % 12);
  });
});
