import { Presets, SingleBar } from 'cli-progress';
import type { Logger } from '@poolmeter/service';

/** Tells a person how far long work is: a bar on a terminal, a log line now and then elsewhere. */
export interface Progress {
  start(total: number): void;
  reach(done: number): void;
  stop(): void;
}

const LOG_STEPS = 10;

export function createProgress(label: string, where: { terminal: boolean; logger: Logger }): Progress {
  return where.terminal ? barProgress(label) : logProgress(label, where.logger);
}

function barProgress(label: string): Progress {
  const bar = new SingleBar(
    {
      format: `${label} {bar} {percentage}% | {eta_formatted} left`,
      clearOnComplete: true,
      stream: process.stderr,
    },
    Presets.shades_classic,
  );
  return {
    start: (total) => bar.start(total, 0),
    reach: (done) => bar.update(done),
    stop: () => bar.stop(),
  };
}

function logProgress(label: string, logger: Logger): Progress {
  let total = 0;
  let step = 0;
  return {
    start(all) {
      total = all;
      logger.info({ work: label }, 'Long work begins.');
    },
    reach(done) {
      const now = Math.floor((done / total) * LOG_STEPS);
      if (now > step) logger.info({ work: label, percent: now * (100 / LOG_STEPS) }, 'Long work goes on.');
      step = Math.max(step, now);
    },
    stop() {
      logger.info({ work: label }, 'Long work ended.');
    },
  };
}
