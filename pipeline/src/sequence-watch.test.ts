import type { StoredMessage } from '@poolmeter/event-bus';
import { messageHeadersFor, topics } from '@poolmeter/telemetry-schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redriveHeaders } from './redrive-headers.js';
import { SequenceWatch } from './sequence-watch.js';

const WINDOW_MS = 60_000;

function message(
  sequence: number,
  over: { epoch?: number; key?: string; redriven?: boolean } = {},
): StoredMessage {
  const headers = messageHeadersFor({
    schema: 'gpu-sample',
    schemaVersion: 1,
    producer: 'agent-1',
    producerEpoch: BigInt(over.epoch ?? 1),
    sequence: BigInt(sequence),
  });
  return {
    topic: topics.gpuSamples,
    partition: 0,
    offset: 0n,
    storedAtMs: 0,
    key: over.key ?? 'gpu-1',
    headers: over.redriven === true ? { ...headers, [redriveHeaders.from]: 't/0/1' } : headers,
    value: Buffer.alloc(0),
  };
}

const spans = (gaps: readonly { first: bigint; last: bigint }[]) =>
  gaps.map(({ first, last }) => `${first}-${last}`);

/** What is told after the window, when these numbers came in this order. */
function toldAfter(messages: readonly StoredMessage[]) {
  const watch = new SequenceWatch();
  watch.observe(messages, 0);
  expect(watch.news(WINDOW_MS - 1, WINDOW_MS)).toEqual({ open: [], filled: [] });
  return spans(watch.news(WINDOW_MS, WINDOW_MS).open);
}

describe('numbers that are missing', () => {
  it.each<[string, StoredMessage[], string[]]>([
    ['none is', [4, 5, 6].map((one) => message(one)), []],
    ['one is', [4, 6].map((one) => message(one)), ['5-5']],
    ['several are', [1, 3, 9].map((one) => message(one)), ['2-2', '4-8']],
    ['one that comes late closes its gap', [4, 6, 5].map((one) => message(one)), []],
    ['one in the middle leaves two pieces of one gap', [1, 9, 5].map((one) => message(one)), ['2-8']],
    ['a spool that drains late sends low numbers: no gap', [100, 3, 4, 101].map((one) => message(one)), []],
    ['a repeat is no gap', [4, 4, 5, 4].map((one) => message(one)), []],
    ['a new life of the agent counts from 0', [message(7), message(0, { epoch: 2 })], []],
    ['the first messages of a new life are missing', [message(7), message(2, { epoch: 2 })], ['0-1']],
    [
      'the last message of an earlier life comes late',
      [message(7), message(0, { epoch: 2 }), message(8)],
      [],
    ],
    ['nodes are counted apart', [message(1), message(5, { key: 'gpu-2' }), message(2)], []],
    ['an operator’s repeat says nothing', [message(3, { redriven: true }), message(9), message(10)], []],
  ])('%s', (_case, messages, expected) => {
    expect(toldAfter(messages)).toEqual(expected);
  });

  it('are told once, and told again when all of them have come', () => {
    const watch = new SequenceWatch();
    watch.observe([message(1), message(4)], 0);
    expect(spans(watch.news(WINDOW_MS, WINDOW_MS).open)).toEqual(['2-3']);
    expect(watch.openCount).toBe(1);
    watch.observe([message(3)], WINDOW_MS);
    expect(watch.news(2 * WINDOW_MS, WINDOW_MS)).toEqual({ open: [], filled: [] });
    watch.observe([message(2)], 2 * WINDOW_MS);
    const { open, filled } = watch.news(2 * WINDOW_MS, WINDOW_MS);
    expect([spans(open), spans(filled)]).toEqual([[], ['2-3']]);
    expect(watch.openCount).toBe(0);
  });

  it('are exactly those that never came, in whatever order the others did', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 40 }), { minLength: 1, maxLength: 30 }), (numbers) => {
        const watch = new SequenceWatch();
        watch.observe(
          [0, ...numbers].map((one) => message(one)),
          0,
        );
        const missing = watch
          .news(WINDOW_MS, WINDOW_MS)
          .open.reduce((sum, gap) => sum + Number(gap.missing), 0);
        const came = new Set([0, ...numbers]);
        const most = Math.max(...came);
        const never = Array.from({ length: most }, (_, one) => one).filter((one) => !came.has(one)).length;
        // A gap is told whole, also where a number in its middle has come.
        expect(missing).toBeGreaterThanOrEqual(never);
        expect(missing > 0).toBe(never > 0);
      }),
    );
  });
});
