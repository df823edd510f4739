import { instantFromMs, ManualClock } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.js';
import { repeatEvery } from './repeat-every.js';
import { createTelemetry } from './telemetry.js';

const settled = () => new Promise((resolve) => setImmediate(resolve));

function loop(run: (signal: AbortSignal) => Promise<void>) {
  const clock = new ManualClock(instantFromMs(0));
  const lines: string[] = [];
  const logger = createLogger({ service: 'test', destination: { write: (line) => void lines.push(line) } });
  const telemetry = createTelemetry({ service: 'test', processMetrics: false });
  const component = repeatEvery({ name: 'scan', everyMs: 1_000, clock, logger, run, meter: telemetry.meter });
  return { clock, component, lines, telemetry };
}

describe('a loop', () => {
  it('runs at its start and then on time', async () => {
    const at: number[] = [];
    const { clock, component } = loop(() => Promise.resolve(void at.push(clock.now())));
    await component.start();
    await component.start();
    for (let step = 0; step < 4; step += 1) {
      await settled();
      clock.advance(500);
    }
    await settled();
    await component.stop();
    expect(at).toEqual([0, 1_000, 2_000]);
  });

  it('never overlaps: a long turn delays the next one, which then follows at once', async () => {
    let running = 0;
    let most = 0;
    const at: number[] = [];
    const { clock, component } = loop(async () => {
      at.push(clock.now());
      most = Math.max(most, (running += 1));
      await clock.sleep(2_500);
      running -= 1;
    });
    await component.start();
    for (let step = 0; step < 12; step += 1) {
      await settled();
      clock.advance(500);
    }
    expect(at).toEqual([0, 2_500, 5_000]);
    expect(most).toBe(1);
  });

  it('goes on after a failed turn, which is logged and counted', async () => {
    let turns = 0;
    const { clock, component, lines, telemetry } = loop(() => {
      turns += 1;
      return turns === 1 ? Promise.reject(new Error('store is away')) : Promise.resolve();
    });
    await component.start();
    await settled();
    clock.advance(1_000);
    await settled();
    await component.stop();
    expect(turns).toBe(2);
    expect(lines.filter((line) => line.includes('store is away'))).toHaveLength(1);
    const text = await telemetry.metricsText();
    expect(text).toContain('poolmeter_turns_total{loop="scan",outcome="failed"} 1');
    expect(text).toContain('poolmeter_turns_total{loop="scan",outcome="done"} 1');
  });

  it('stops by aborting the turn in hand and waiting for its end', async () => {
    let ended = false;
    const { component, lines } = loop(async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await settled();
      ended = true;
      signal.throwIfAborted();
    });
    await component.start();
    await component.stop();
    expect(ended).toBe(true);
    expect(lines).toEqual([]);
  });
});
