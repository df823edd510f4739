/** Ends queries whose client went away, so that nobody pays for an answer that nobody reads. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { EngineConnection } from './engine.js';
import { literal } from './query-settings.js';

export interface RunningQuery {
  /** Goes into the query's `log_comment`, by which it is found again. */
  readonly tag: string;
  /** Call it when the query has ended: nothing is killed after that. */
  ended(): void;
}

export interface QueryKiller {
  watch(response: ServerResponse): RunningQuery;
  /** Ends everything that runs; for a stop that has waited long enough. */
  killAll(): void;
}

/** The query may not have started when its client leaves, so the order is given until the query has ended. */
const REPEAT_EVERY_MS = 250;

export function createQueryKiller(control: EngineConnection, onFault: (fault: unknown) => void): QueryKiller {
  const running = new Set<string>();
  const doomed = new Set<string>();
  let repeating: NodeJS.Timeout | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const kill = () => {
    repeating = undefined;
    if (doomed.size === 0) return;
    const tags = [...doomed].map(literal).join(', ');
    // One at a time: the control connection runs one statement after the other.
    turn = turn
      .then(() => control.run(`KILL QUERY WHERE Settings['log_comment'] IN (${tags}) ASYNC`))
      .catch(onFault)
      .finally(() => {
        if (doomed.size > 0) repeating ??= setTimeout(kill, REPEAT_EVERY_MS);
      });
  };
  const doom = (tag: string) => {
    if (!running.has(tag)) return;
    doomed.add(tag);
    if (repeating === undefined) kill();
  };
  return {
    watch: (response) => {
      const tag = `front-${randomUUID()}`;
      running.add(tag);
      const onClose = () => {
        if (!response.writableFinished) doom(tag);
      };
      response.once('close', onClose);
      if (response.destroyed) onClose();
      return {
        tag,
        ended: () => {
          running.delete(tag);
          doomed.delete(tag);
          response.off('close', onClose);
        },
      };
    },
    killAll: () => {
      for (const tag of running) doom(tag);
    },
  };
}
