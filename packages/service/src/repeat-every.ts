/** A loop that does one thing again and again: never twice at once, and never ended by a failed turn. */
import type { Clock } from '@poolmeter/domain';
import type { Counter, Meter } from '@opentelemetry/api';
import type { Component } from './lifecycle.js';
import type { Logger } from './logger.js';

export interface RepeatOptions {
  readonly name: string;
  /** From the start of one turn to the start of the next; a turn that takes longer delays the next, it never overlaps. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** One turn. It should end soon after the signal is aborted. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  /** Where turns and failed turns are counted (`poolmeter_turns_total{loop,outcome}`). */
  readonly meter?: Meter;
}

/** The first turn runs at the start; `stop` aborts the signal and waits for the turn in hand. */
export function repeatEvery(options: RepeatOptions): Component {
  const stopping = new AbortController();
  const turns = options.meter?.createCounter('poolmeter.turns', {
    description: 'Turns of the loops of this process, by outcome.',
  });
  let loop: Promise<void> | undefined;
  return {
    name: options.name,
    start() {
      loop ??= turnUntilStopped(options, stopping.signal, turns);
      return Promise.resolve();
    },
    async stop() {
      stopping.abort(new Error(`${options.name} is stopping.`));
      await loop;
    },
  };
}

async function turnUntilStopped(
  options: RepeatOptions,
  signal: AbortSignal,
  turns: Counter | undefined,
): Promise<void> {
  while (!signal.aborted) {
    const due = options.clock.now() + options.everyMs;
    const outcome = await oneTurn(options, signal);
    turns?.add(1, { loop: options.name, outcome });
    const pauseMs = Math.max(0, due - options.clock.now());
    // The only way that a sleep fails is the abort that ends the loop.
    await options.clock.sleep(pauseMs, signal).catch(() => undefined);
  }
}

async function oneTurn(options: RepeatOptions, signal: AbortSignal): Promise<'done' | 'failed' | 'stopped'> {
  try {
    await options.run(signal);
    return 'done';
  } catch (fault) {
    if (signal.aborted) {
      options.logger.debug({ loop: options.name, err: fault }, 'The last turn was cut short by the stop.');
      return 'stopped';
    }
    options.logger.error({ loop: options.name, err: fault }, 'A turn failed; the next one is tried on time.');
    return 'failed';
  }
}
