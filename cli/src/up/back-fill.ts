/** Fills the last seven days of the demo pool in behind the live data, through the same bus and pipeline. */
import { Worker } from 'node:worker_threads';
import { instantFromMs, messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import type { BusMessage, EventBus } from '@poolmeter/event-bus';
import type { Component, Logger } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import type { HistoryChunk } from './back-fill-history.js';
import { saveDemoState, type DemoState } from './demo-state.js';
import type { Progress } from './progress.js';

export interface BackFillOrder {
  readonly seed: number;
  readonly startAtMs: number;
  readonly untilMs: number;
  readonly filledUntilMs: number;
  readonly chunkMs: number;
  readonly publishedAtMs: number;
}

export interface BackFillOptions {
  readonly state: DemoState;
  readonly statePath: string;
  readonly bus: Pick<EventBus, 'publish' | 'ranges' | 'committed'>;
  /** The consumer group that stores samples: history waits for it, so that live samples never queue behind much. */
  readonly readerGroup: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly progress: Progress;
}

const CHUNK_MS = 60 * 60_000;
const LOOK_MS = 50;
const THREAD = new URL('../../dist/up/back-fill-main.js', import.meta.url);

/** Starts the back-fill when there is something left to fill; `stop` keeps what was published so far. */
export function createBackFill(options: BackFillOptions): Component {
  let worker: Worker | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopping = false;
  return {
    name: 'back-fill',
    start() {
      const { state } = options;
      if (state.filled_until_ms >= state.live_from_ms) return Promise.resolve();
      worker = new Worker(THREAD, { workerData: orderOf(options) });
      running = fill(worker, options).catch((fault: unknown) => {
        options.progress.stop();
        if (!stopping)
          options.logger.error({ err: fault }, 'The back-fill stopped; the next start goes on with it.');
      });
      return Promise.resolve();
    },
    async stop() {
      stopping = true;
      await worker?.terminate();
      await running;
    },
  };
}

function orderOf({ state, clock }: BackFillOptions): BackFillOrder {
  return {
    seed: state.seed,
    startAtMs: state.start_at_ms,
    untilMs: state.live_from_ms,
    filledUntilMs: state.filled_until_ms,
    chunkMs: CHUNK_MS,
    publishedAtMs: clock.now(),
  };
}

function fill(worker: Worker, options: BackFillOptions): Promise<void> {
  const { state, progress } = options;
  progress.start(state.live_from_ms - state.start_at_ms);
  let publishing = Promise.resolve();
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', () => {
      reject(new PoolmeterError('internal', 'The back-fill thread ended early.'));
    });
    worker.on('message', (chunk: HistoryChunk | undefined) => {
      publishing = publishing
        .then(async () => {
          if (chunk === undefined) {
            progress.stop();
            resolve();
            return;
          }
          await publishChunk(chunk, options);
          progress.reach(chunk.until - state.start_at_ms);
          worker.postMessage('next');
        })
        .catch((fault: unknown) => {
          reject(
            new PoolmeterError('bus.rejected', `The back-fill could not publish: ${messageOf(fault)}`, {
              cause: fault,
            }),
          );
        });
    });
  });
}

async function publishChunk(chunk: HistoryChunk, options: BackFillOptions): Promise<void> {
  const { bus, state, statePath } = options;
  await untilStored(options);
  if (chunk.samples.length > 0) await bus.publish(topics.gpuSamples, chunk.samples.map(asBuffer));
  if (chunk.events.length > 0) await bus.publish(topics.gpuEvents, chunk.events.map(asBuffer));
  await saveDemoState(statePath, { ...state, filled_until_ms: instantFromMs(chunk.until) });
}

/** Resolves when everything on the bus but what the last moments brought is stored. */
async function untilStored({ bus, readerGroup, clock }: BackFillOptions): Promise<void> {
  const ends = await bus.ranges(topics.gpuSamples);
  for (;;) {
    const reached = await bus.committed(readerGroup, topics.gpuSamples);
    const behind = ends.some(
      ({ partition, earliestOffset, nextOffset }) =>
        nextOffset > earliestOffset &&
        (reached.find((one) => one.partition === partition)?.nextOffset ?? earliestOffset) < nextOffset,
    );
    if (!behind) return;
    await clock.sleep(LOOK_MS);
  }
}

/** A buffer arrives from another thread as a plain byte array. */
function asBuffer(message: BusMessage): BusMessage {
  const { buffer, byteOffset, byteLength } = message.value;
  return { ...message, value: Buffer.from(buffer, byteOffset, byteLength) };
}
