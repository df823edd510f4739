import { instantFromMs, isPoolmeterError } from '@poolmeter/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSampleRows } from './decode-samples.js';
import { encodeSampleRows } from './encode-samples.js';
import type { GpuSample } from './gpu-sample.js';
import { decodeSampleBatchHeader, encodeSampleBatch } from './sample-batch.js';
import { sampleColumnsV1, type SampleColumn } from './sample-columns.js';
import { roundingLoss, storedRange } from './stored-value.js';

const header = { producer: 'agent-a', producerEpoch: 3n, sequence: 7n };

/** A loaded T4: what its exporter gives, and null for what it does not. */
const t4: GpuSample = {
  ts: instantFromMs(1_767_225_600_250),
  ingestedAt: instantFromMs(1_767_225_600_300),
  node: 'cp-1',
  gpuUuid: 'GPU-6d5c',
  gpuInstance: '',
  gpuInstanceProfile: '',
  gpuModel: 'Tesla T4',
  pool: 'main',
  providerId: 'north',
  gpuIndex: 0,
  leaseId: '',
  gpuUtilRatio: 0.91,
  memoryCopyUtilRatio: 0.73,
  graphicsEngineActiveRatio: 0.1562,
  smActiveRatio: null,
  smOccupancyRatio: null,
  tensorActiveRatio: 0.0058,
  dramActiveRatio: 0.0928,
  memoryUsedBytes: 5120 * 1_048_576,
  memoryTotalBytes: 15_358 * 1_048_576,
  powerWatts: 68.2,
  powerLimitWatts: null,
  energyJoules: 15_152_423,
  energyEpoch: 1,
  temperatureCelsius: 74,
  memoryTemperatureCelsius: null,
  temperatureMarginCelsius: -3,
  smClockMhz: 660,
  memoryClockMhz: 5000,
  throttleReasons: 4,
  pcieTxBytesPerSecond: 65_536 * 73,
  pcieRxBytesPerSecond: 65_536 * 105,
  nvlinkBytesPerSecond: null,
  pcieReplayTotal: 0,
  eccCorrectableTotal: 0,
  eccUncorrectableTotal: 0,
  rowRemapCorrectableTotal: null,
  rowRemapUncorrectableTotal: null,
  rowRemapState: null,
  recoveryAction: 0,
  lastXid: null,
  flags: 8,
};

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return isPoolmeterError(error) ? error.code : `not ours: ${String(error)}`;
  }
  return 'no error';
}

describe('the wire form of a sample batch', () => {
  it('is these bytes, for as long as schema version 1 lives', () => {
    const bytes = encodeSampleBatch(header, [t4]);
    expect(bytes.subarray(0, 32).toString('hex')).toBe(
      [
        '504d5342', // PMSB
        '0100', // schema version
        '0700', // producer length
        '01000000', // one row
        '82000000', // 130 row bytes
        '0300000000000000', // epoch
        '0700000000000000', // sequence
      ].join(''),
    );
    expect(bytes.subarray(32, 39).toString()).toBe('agent-a');
    expect(bytes.subarray(39).toString('hex')).toBe(
      [
        'faa8da769b010000', // ts 1767225600250
        '2ca9da769b010000', // ingested_at 1767225600300
        '0463702d31', // node
        '084750552d36643563', // gpu_uuid
        '00', // gpu_instance ''
        '00', // gpu_instance_profile ''
        '085465736c61205434', // gpu_model
        '046d61696e', // pool
        '056e6f727468', // provider_id
        '00', // gpu_index
        '00', // lease_id ''
        '5b', // 91 %
        '49', // 73 %
        '1a06', // 1562
        'ffff', // SM active: not said
        'ffff', // SM occupancy: not said
        '3a00', // 58
        'a003', // 928
        '00140000', // 5120 MiB
        'fe3b0000', // 15358 MiB
        'aa02', // 682 tenths of a watt
        'ffff', // power limit: not said
        '2735e70000000000', // 15152423 J
        '0100', // energy epoch
        '4a', // 74 °C
        'ff', // memory temperature: not said
        'fd', // margin −3 °C
        '9402', // 660 MHz
        '8813', // 5000 MHz
        '0400', // throttle bits
        '49000000', // 73 × 64 KiB/s
        '69000000', // 105 × 64 KiB/s
        'ffffffff', // NVLink: not said
        '00000000', // PCIe replays
        '00000000', // ECC correctable
        '00000000', // ECC uncorrectable
        'ffff', // row remap correctable: not said
        'ffff', // row remap uncorrectable: not said
        'ff', // row remap state: not said
        '00', // recovery action none
        'ffff', // last Xid: not said
        '08', // flags: demo
      ].join(''),
    );
  });

  it('carries its header', () => {
    const batch = decodeSampleBatchHeader(encodeSampleBatch(header, [t4, t4]));
    expect(batch).toMatchObject({ ...header, schemaVersion: 1, rowCount: 2 });
    expect(decodeSampleRows(batch.rows, 2)).toEqual([t4, t4]);
  });

  it('may be empty', () => {
    expect(decodeSampleBatchHeader(encodeSampleBatch(header, []))).toMatchObject({ rowCount: 0 });
  });
});

describe('a damaged batch', () => {
  const whole = encodeSampleBatch(header, [t4, t4]);
  const changed = (at: number, value: number) => {
    const copy = Buffer.from(whole);
    copy[at] = value;
    return copy;
  };

  it.each([
    ['is empty', Buffer.alloc(0), 'wire.malformed'],
    ['stops inside the header', whole.subarray(0, 31), 'wire.malformed'],
    ['has another magic', changed(0, 0x51), 'wire.malformed'],
    ['has an unknown version', changed(4, 9), 'wire.unknown_schema'],
    ['announces a longer producer', changed(6, 8), 'wire.malformed'],
    ['announces one row too many', changed(8, 3), 'wire.malformed'],
    ['announces one row too few', changed(8, 1), 'wire.malformed'],
    ['announces fewer row bytes', changed(12, 0), 'wire.malformed'],
    ['has a surplus byte', Buffer.concat([whole, Buffer.from([0])]), 'wire.malformed'],
    ['has a string that runs over its row', changed(39 + 16, 0x7f), 'wire.malformed'],
  ])('%s: refused', (_case, bytes, code) => {
    expect(codeOf(() => decodeSampleBatchHeader(bytes))).toBe(code);
  });

  it('cut anywhere is refused', () => {
    for (let length = 0; length < whole.length; length += 1) {
      expect(codeOf(() => decodeSampleBatchHeader(whole.subarray(0, length)))).toBe('wire.malformed');
    }
  });
});

describe('storing a value', () => {
  const name = fc.string({ unit: 'grapheme', maxLength: 40 });

  /** Values anywhere in the column's range, in its unit. */
  function valueOf(column: SampleColumn): fc.Arbitrary<unknown> {
    if (column.type === 'String') return name;
    const { least, most } = storedRange(column);
    if (column.type === 'DateTime64(3)') return fc.integer({ min: 0, max: 4_102_444_800_000 });
    if (column.missing === undefined) return fc.integer({ min: least, max: most });
    const top = column.unitColumn.endsWith('_ratio') ? 1 : most / column.scale;
    return fc.option(fc.double({ min: least / column.scale, max: top, noNaN: true }), { nil: null });
  }
  const sample = fc
    .record(Object.fromEntries(sampleColumnsV1.map((column) => [column.field, valueOf(column)])))
    .map((fields) => fields as unknown as GpuSample);

  it('and reading it back changes it by no more than the stated loss; null stays null', () => {
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 4 }), (samples) => {
        const implausible: string[] = [];
        const rows = encodeSampleRows(samples, {
          onImplausible: (column) => implausible.push(column.unitColumn),
        });
        const back = decodeSampleRows(rows, samples.length);
        expect(implausible).toEqual([]);
        for (const [index, before] of samples.entries()) {
          for (const column of sampleColumnsV1) {
            const was = before[column.field];
            const is = back[index]?.[column.field];
            if (typeof was !== 'number' || typeof is !== 'number') expect(is).toBe(was);
            // A grain of floating point error is allowed beside the half step.
            else expect(Math.abs(is - was)).toBeLessThanOrEqual(roundingLoss(column) * (1 + 1e-6) + 1e-12);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it.each<[keyof GpuSample, number, number]>([
    ['gpuUtilRatio', 0.005, 0.91],
    ['smActiveRatio', 0.000_05, 0.5],
    ['memoryUsedBytes', 524_288, 0],
    ['powerWatts', 0.05, 0],
    ['energyJoules', 0.5, 0],
    ['temperatureCelsius', 0.5, 0],
    ['pcieTxBytesPerSecond', 32_768, 0],
  ])('%s loses at most %d', (field, loss) => {
    expect(roundingLoss(sampleColumnsV1.find((column) => column.field === field)!)).toBeCloseTo(loss, 9);
  });

  it.each<[string, Partial<GpuSample>, keyof GpuSample, number | null]>([
    ['GPU_UTIL 101 % cannot be', { gpuUtilRatio: 1.01 }, 'gpuUtilRatio', null],
    ['GPU_UTIL 4294967295 (a corrupt read) cannot be', { gpuUtilRatio: 42_949_672.95 }, 'gpuUtilRatio', null],
    ['an activity counter a little over 1 is 1', { smActiveRatio: 1.004 }, 'smActiveRatio', 1],
    ['an activity ratio of 1.5 cannot be', { smActiveRatio: 1.5 }, 'smActiveRatio', null],
    ['a negative power cannot be', { powerWatts: -1 }, 'powerWatts', null],
    ['7000 W does not fit', { powerWatts: 7000 }, 'powerWatts', null],
    ['255 °C would read as missing', { temperatureCelsius: 255 }, 'temperatureCelsius', null],
    ['254 °C is the most', { temperatureCelsius: 254 }, 'temperatureCelsius', 254],
    ['NaN cannot be', { powerWatts: Number.NaN }, 'powerWatts', null],
    ['an energy beyond exact numbers cannot be', { energyJoules: 2 ** 60 }, 'energyJoules', null],
  ])('%s', (_case, change, field, expected) => {
    let count = 0;
    const rows = encodeSampleRows([{ ...t4, ...change }], { onImplausible: () => (count += 1) });
    expect(decodeSampleRows(rows, 1)[0]?.[field]).toBe(expected);
    expect(count).toBe(expected === null ? 1 : 0);
  });

  it('refuses a label that does not fit instead of wrapping it', () => {
    expect(codeOf(() => encodeSampleRows([{ ...t4, gpuIndex: 256 }]))).toBe('wire.malformed');
    expect(codeOf(() => encodeSampleRows([{ ...t4, energyEpoch: -1 }]))).toBe('wire.malformed');
  });
});
