import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyRetention, checkRetention } from './retention.js';
import { startTestStore, type TestStore } from './start-test-store.js';

describe('checkRetention', () => {
  it.each([
    [{ raw: 31, minutes: 30 }, /raw samples would be kept for 31 days and minutes for 30 only/],
    [{ raw: 500, hours: 400 }, /raw samples would be kept for 500 days and hours for 400 only/],
    [{ minutes: 401, hours: 400 }, /minutes would be kept for 401 days and hours for 400 only/],
    [{ raw: 0 }, /1 to 10950 whole days, not 0/],
    [{ raw: 1.5 }, /not 1.5/],
    // 80 years from 2026 is past the last second that 32 bits can name.
    [{ hours: 29_220 }, /not 29220/],
  ])('refuses %j', (days, message) => {
    expect(() => checkRetention(days)).toThrow(message);
  });

  it('takes equal ones, and says nothing about what is not given', () => {
    expect(() => checkRetention({ raw: 30, minutes: 30, hours: 30 })).not.toThrow();
    expect(() => checkRetention({ raw: 5_000 })).not.toThrow();
  });
});

describe('applyRetention', () => {
  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
  });
  afterAll(() => test.stop());

  const rules = async () => {
    const { rows } = await test.store.select(
      `SELECT name, extract(engine_full, 'TTL (.*?) SETTINGS') FROM system.tables
       WHERE database = currentDatabase() AND name LIKE 'gpu_samples%' AND engine LIKE '%MergeTree' ORDER BY name`,
      { name: 'rules', maxRows: 10 },
    );
    return Object.fromEntries(rows as [string, string][]);
  };

  it('finds the defaults of 30 days, 400 days and 5 years in place', async () => {
    expect(await applyRetention(test.store, { days: { raw: 30, minutes: 400, hours: 1_826 } })).toEqual([]);
  });

  it('changes what differs, once, and keeps the rest', async () => {
    const days = { raw: 60, hours: 3_652 };
    expect(await applyRetention(test.store, { days })).toEqual([
      { table: 'gpu_samples', beforeDays: 30, days: 60 },
      { table: 'gpu_samples_1h', beforeDays: 1_826, days: 3_652 },
    ]);
    expect(await applyRetention(test.store, { days })).toEqual([]);
    expect(await applyRetention(test.store, { days: {} })).toEqual([]);
    const found = await rules();
    expect(found['gpu_samples']).toMatch(/ \+ toIntervalDay\(60\)$/);
    expect(found['gpu_samples_1m']).toMatch(/ \+ toIntervalDay\(400\)$/);
    expect(found['gpu_samples_1h']).toMatch(/ \+ toIntervalDay\(3652\)$/);
  });

  it('refuses what is nonsense beside what the store has', async () => {
    await expect(applyRetention(test.store, { days: { minutes: 59 } })).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining(
        'raw samples would be kept for 60 days and minutes for 59 only',
      ) as string,
    });
  });

  it('deletes rows whose time is over, and keeps the younger', async () => {
    const ageDays = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
    const rows = [10, 100].map((days) => ({
      ts: ageDays(days),
      stored_at: ageDays(days),
      gpu_uuid: `GPU-${days}`,
    }));
    await applyRetention(test.store, { days: { raw: 200, minutes: 400 } });
    await test.store.insert({ table: 'gpu_samples', format: 'JSONEachRow', values: rows, token: 'aged' });
    const kept = async () => {
      const sql = "SELECT gpu_uuid FROM gpu_samples WHERE gpu_uuid LIKE 'GPU-1%' ORDER BY gpu_uuid";
      return (await test.store.select(sql, { name: 'kept', maxRows: 10 })).rows.flat();
    };
    expect(await kept()).toEqual(['GPU-10', 'GPU-100']);
    await applyRetention(test.store, { days: { raw: 50 } });
    await test.store.command('OPTIMIZE TABLE gpu_samples FINAL');
    await expect.poll(kept, { timeout: 10_000 }).toEqual(['GPU-10']);
  });
});
