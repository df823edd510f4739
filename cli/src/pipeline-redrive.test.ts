import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogBus } from '@poolmeter/event-bus';
import { deadLetterHeaders } from '@poolmeter/pipeline';
import { createLogger } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runRecorded } from './run-recorded.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-redrive-'));
  const logger = createLogger({ service: 'test', level: 'silent' });
  const bus = createLogBus({ directory: join(folder, 'bus'), logger });
  await bus.ensureTopics([topics.gpuSamples, topics.deadLetter].map((name) => ({ name, partitions: 2 })));
  const letter = (offset: number, code: string) => ({
    key: 'gpu-1',
    headers: {
      [deadLetterHeaders.code]: code,
      [deadLetterHeaders.topic]: topics.gpuSamples,
      [deadLetterHeaders.partition]: '0',
      [deadLetterHeaders.offset]: String(offset),
    },
    value: Buffer.from('bytes'),
  });
  await bus.publish(topics.deadLetter, [letter(1, 'wire.unknown_schema'), letter(2, 'wire.malformed')]);
  await bus.close();
});
afterAll(() => rm(folder, { recursive: true }));

const redrive = (...args: string[]) =>
  runRecorded(['pipeline', 'redrive', '--data-dir', folder, ...args], { env: {} });

describe('poolmeter pipeline redrive', () => {
  it('says in one sentence what it would do, what it did, and that nothing is left', async () => {
    const code = ['--code', 'wire.unknown_schema'];
    expect(await redrive(...code, '--dry-run')).toEqual({
      exitCode: 0,
      stdout: `Would send 1 dead letter again (1 to ${topics.gpuSamples}), and left 1 of another code or topic.\n`,
      stderr: '',
    });
    expect((await redrive(...code)).stdout).toBe(
      `Sent 1 dead letter again (1 to ${topics.gpuSamples}), and left 1 of another code or topic.\n`,
    );
    expect(JSON.parse((await redrive('--json')).stdout)).toEqual({
      dry_run: false,
      redriven: 1,
      redriven_by_topic: { [topics.gpuSamples]: 1 },
      others: 0,
      exhausted: 0,
      unusable: 0,
      cut_short: false,
    });
    expect((await redrive()).stdout).toBe('Sent 0 dead letters again.\n');
  });

  it.each([
    [['--limit', '0'], /^--limit must be a whole number above 0, not "0"\.\n$/],
    [['--data-dir', '/nowhere'], /^There is no bus in \/nowhere: .*\.\n$/],
  ])('%j is refused with a sentence', async (args, expected) => {
    const run = await redrive(...args);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toMatch(expected);
  });
});
