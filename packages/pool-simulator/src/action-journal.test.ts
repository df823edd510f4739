import { instantFromMs, parseInstant, PoolmeterError } from '@poolmeter/domain';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readJournalHeader } from './action-journal.js';
import { createSimulatedPool, type SimulatedPoolOptions } from './simulated-pool.js';

const folder = mkdtempSync(join(tmpdir(), 'action-journal-'));
afterAll(() => rmSync(folder, { recursive: true }));

const start = parseInstant('2026-03-01T00:00:00Z');
const later = instantFromMs(start + 3_600_000);
let files = 0;

/** A pool in which gpu-01 was cordoned after an hour. */
function cordoned(): SimulatedPoolOptions & { journalFile: string } {
  files += 1;
  const options = { seed: 4, startAt: start, scenario: {}, journalFile: join(folder, `${files}.jsonl`) };
  const pool = createSimulatedPool(options);
  pool.advanceTo(later);
  expect(pool.act({ kind: 'cordon', node: 'gpu-01' }, { idempotencyKey: 'a', reason: 'hot' }).ok).toBe(true);
  return options;
}

function stateAfter(options: SimulatedPoolOptions) {
  const pool = createSimulatedPool(options);
  pool.advanceTo(instantFromMs(later + 1));
  return pool.observe().nodes[0];
}

describe('the journal of actions', () => {
  it('brings actions back, with their instants and reasons', () => {
    expect(stateAfter(cordoned())).toMatchObject({ state: 'cordoned', reason: 'hot', since: later });
  });

  it('says which pool it belongs to', () => {
    const options = cordoned();
    expect(readJournalHeader(options.journalFile)).toMatchObject({ seed: 4, startAt: start });
    expect(readJournalHeader(join(folder, 'none.jsonl'))).toBeUndefined();
  });

  it('drops a last line that was never finished', () => {
    const options = cordoned();
    const whole = readFileSync(options.journalFile, 'utf8');
    appendFileSync(options.journalFile, '{"at_ms":1772327000000,"key":"b","act');
    expect(stateAfter(options)?.state).toBe('cordoned');
    expect(readFileSync(options.journalFile, 'utf8')).toBe(whole);
  });

  it.each<[string, (options: SimulatedPoolOptions & { journalFile: string }) => SimulatedPoolOptions]>([
    ['another seed', (options) => ({ ...options, seed: 5 })],
    ['another start', (options) => ({ ...options, startAt: later })],
    ['another scenario', (options) => ({ ...options, scenario: { leases: [] } })],
    [
      'a line that is no entry',
      (options) => {
        appendFileSync(options.journalFile, '{"at_ms":"soon"}\n');
        return options;
      },
    ],
    [
      'another version of the history',
      (options) => {
        const text = readFileSync(options.journalFile, 'utf8');
        writeFileSync(options.journalFile, text.replace('"history_version":1', '"history_version":0'));
        return options;
      },
    ],
  ])('with %s is refused', (_what, change) => {
    const options = change(cordoned());
    expect(() => createSimulatedPool(options)).toThrow(PoolmeterError);
    expect(() => createSimulatedPool(options)).toThrow(
      expect.objectContaining({ code: 'storage.corrupt' }) as Error,
    );
  });

  it('goes on only when its own past has happened', () => {
    const pool = createSimulatedPool(cordoned());
    expect(() => pool.act({ kind: 'drain', node: 'gpu-02' }, { idempotencyKey: 'b', reason: '' })).toThrow(
      /advance to 2026-03-01T01:00:00Z first/,
    );
  });
});
