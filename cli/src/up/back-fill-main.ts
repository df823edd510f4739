/** The back-fill's own thread: it computes chunks of history and hands them over, two at a time at most. */
import { parentPort, workerData } from 'node:worker_threads';
import { instantFromMs, invariant } from '@poolmeter/domain';
import { createSimulatedPool } from '@poolmeter/pool-simulator';
import { historyChunks } from './back-fill-history.js';
import type { BackFillOrder } from './back-fill.js';

const AHEAD = 2;

invariant(parentPort, 'the back-fill runs as a worker thread');
const port = parentPort;
const order = workerData as BackFillOrder;
const pool = createSimulatedPool({ seed: order.seed, startAt: instantFromMs(order.startAtMs) });
const chunks = historyChunks({
  pool,
  until: instantFromMs(order.untilMs),
  chunkMs: order.chunkMs,
  publishedAt: instantFromMs(order.publishedAtMs),
});

function sendNext(): void {
  for (;;) {
    const next = chunks.next();
    if (next.done === true) {
      port.postMessage(undefined);
      port.close();
      return;
    }
    // What an earlier run has published is computed again for its sequences, not sent again.
    if (next.value.until > order.filledUntilMs) {
      port.postMessage(next.value);
      return;
    }
  }
}

port.on('message', sendNext);
for (let ahead = 0; ahead < AHEAD; ahead += 1) sendNext();
