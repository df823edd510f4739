import { instantFromMs, parseInstant } from '@poolmeter/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatKernelRecord, KernelLog } from './kernel-log.js';

const HOUR_MS = 3_600_000;
const start = parseInstant('2026-03-01T00:00:00Z');

function logWithFaults(): KernelLog {
  const log = new KernelLog({ seed: 3, bootedAtMs: start - HOUR_MS, isUpAt: () => true });
  log.write(start + 5 * HOUR_MS + 7, ['NVRM: one', 'NVRM: two'], 3);
  log.write(start + 5 * HOUR_MS + 7, ['NVRM: three'], 3);
  log.boot(start + 9 * HOUR_MS, ['Linux version']);
  return log;
}

describe('a kernel log', () => {
  it('writes /dev/kmsg records and ISO dmesg lines', () => {
    const record = {
      atUs: parseInstant('2025-01-21T04:41:44.285Z') * 1000 + 60,
      bootId: 'b',
      sequence: 3964,
      sinceBootUs: 206_764_307,
      priority: 6,
      message: 'nvidia-nvswitch2: open (major=510)',
    };
    expect(formatKernelRecord(record, 'kmsg')).toBe('6,3964,206764307,-;nvidia-nvswitch2: open (major=510)');
    expect(formatKernelRecord(record, 'dmesg-iso')).toBe(
      '2025-01-21T04:41:44,285060+00:00 nvidia-nvswitch2: open (major=510)',
    );
  });

  it('says the same in one piece and in many', () => {
    const log = logWithFaults();
    const end = start + 24 * HOUR_MS;
    const whole = log.records(start, end);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 24 * HOUR_MS }), { maxLength: 20 }), (cuts) => {
        const edges = [start, ...cuts.map((cut) => start + cut).sort((a, b) => a - b), end];
        const pieces = edges.slice(1).flatMap((edge, index) => log.records(edges[index]!, edge));
        expect(pieces).toEqual(whole);
      }),
    );
  });

  it('numbers records upwards within each boot, in order of time', () => {
    const records = logWithFaults().records(start, start + 24 * HOUR_MS);
    expect(new Set(records.map((record) => record.bootId)).size).toBe(2);
    records.slice(1).forEach((record, index) => {
      const before = records[index]!;
      expect(record.atUs).toBeGreaterThan(before.atUs);
      if (record.bootId === before.bootId) expect(record.sequence).toBeGreaterThan(before.sequence);
      else expect(record.sequence).toBeLessThan(before.sequence);
    });
  });

  it('has harmless lines among the others, and none while the machine is off', () => {
    const records = logWithFaults().records(start, start + 24 * HOUR_MS);
    expect(records.length).toBe(24 * 2 + 4);
    const off = new KernelLog({ seed: 3, bootedAtMs: start, isUpAt: (at) => at < start + HOUR_MS });
    expect(off.records(start, instantFromMs(start + 24 * HOUR_MS)).length).toBe(2);
  });
});
