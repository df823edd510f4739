import { instantFromMs, parseInstant } from '@poolmeter/domain';
import { dcgmFields, parseMetrics, type GpuReading } from 'dcgm-exporter-client';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpuModels } from './gpu-model.js';
import { defaultPoolShape } from './pool-shape.js';
import { createSimulatedPool } from './simulated-pool.js';

const start = parseInstant('2026-03-02T00:00:00Z');
const MINUTE_MS = 60_000;
const models = Object.values(gpuModels);

function poolOf(seed: number, hours: number) {
  const shape = { ...defaultPoolShape(), faultsPerNodeDay: 3 };
  const pool = createSimulatedPool({ seed, startAt: start, shape });
  pool.advanceTo(instantFromMs(start + hours * 60 * MINUTE_MS));
  return pool;
}

const pool = poolOf(1, 12);
const noon = instantFromMs(start + 11 * 60 * MINUTE_MS);
const linesOf = (node: string) => pool.metricsText(node, noon).split('\n');

describe('the text of an exporter', () => {
  it('has HELP and TYPE before the rows of each series, and ends with a line end', () => {
    const text = pool.metricsText('gpu-01', noon);
    expect(text.endsWith('\n')).toBe(true);
    const seen = new Set<string>();
    let current = '';
    for (const line of text.trimEnd().split('\n')) {
      const name = /^(?:# (?:HELP|TYPE) )?(DCGM_FI_\w+)/.exec(line)?.[1] ?? '';
      if (line.startsWith('# HELP')) {
        expect(seen.has(name)).toBe(false);
        seen.add(name);
        current = name;
      }
      expect(name).toBe(current);
    }
    expect(seen.size).toBeGreaterThanOrEqual(32);
  });

  it('carries the label set of dcgm-exporter 4.4', () => {
    const row = linesOf('gpu-05').find((line) => line.startsWith('DCGM_FI_DEV_SM_CLOCK{'));
    expect(row).toMatch(
      /^DCGM_FI_DEV_SM_CLOCK\{gpu="0",UUID="GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",pci_bus_id="00000000:0F:00\.0",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-05",DCGM_FI_DRIVER_VERSION="580\.105\.08"(,hpc_job="[^"]+")?\} \d+$/,
    );
  });

  it('is read back by the client without a fault, every row and every field', () => {
    const known = new Set(dcgmFields.map((field) => field.id));
    for (const { node } of pool.nodes()) {
      const parsed = parseMetrics(pool.metricsText(node, noon));
      expect([parsed.faultCount, parsed.blankCount]).toEqual([0, 0]);
      const boards = parsed.readings.filter((one) => one.gpuInstanceId === '');
      expect(boards.length).toBe(8);
      for (const board of boards) for (const id of board.values.keys()) expect(known.has(id)).toBe(true);
    }
  });

  it('says 0 for the memory temperature of an L40S and has no NVLink there', () => {
    for (const reading of parseMetrics(pool.metricsText('gpu-05', noon)).readings) {
      expect(reading.values.get(140)).toBe(0);
      expect(reading.values.has(449)).toBe(false);
    }
    expect(parseMetrics(pool.metricsText('gpu-01', noon)).readings[0]?.values.get(140)).toBeGreaterThan(30);
  });

  it('has the quirks of MIG: no utilisation, no remapping, energy repeated with skew', () => {
    const readings = parseMetrics(pool.metricsText('gpu-03', noon)).readings;
    const board = readings.find((one) => one.gpuIndex === 0 && one.gpuInstanceId === '')!;
    const instances = readings.filter((one) => one.gpuIndex === 0 && one.gpuInstanceId !== '');
    expect(instances.map((one) => [one.gpuInstanceProfile, one.gpuInstanceId])).toEqual(
      [7, 8, 9, 10, 11, 12, 13].map((id) => ['1g.10gb', String(id)]),
    );
    for (const one of [board, ...instances]) {
      for (const id of [203, 204, 393, 394, 395, 396]) expect(one.values.has(id)).toBe(false);
    }
    const energies = instances.map((one) => one.values.get(156)! - board.values.get(156)!);
    expect(new Set(energies).size).toBeGreaterThan(1);
    for (const skew of energies) expect(skew).toBeGreaterThanOrEqual(0);
    for (const skew of energies) expect(skew).toBeLessThan(10_000);
    const used = instances.reduce((sum, one) => sum + one.values.get(252)!, 0);
    expect(board.values.get(252)).toBe(used);
  });

  it('adds up: memory used, free and reserved are the board', () => {
    for (const { node, gpuModel } of pool.nodes()) {
      const model = models.find((one) => one.name === gpuModel)!;
      for (const { values, gpuInstanceId } of parseMetrics(pool.metricsText(node, noon)).readings) {
        if (gpuInstanceId !== '') continue;
        expect(values.get(251)! + values.get(252)! + values.get(253)!).toBe(model.memoryTotalMib);
      }
    }
  });

  it('renders 48 GPUs in about a millisecond of CPU', () => {
    for (let warm = 0; warm < 300; warm++) pool.scrape('gpu-03', instantFromMs(noon - warm * MINUTE_MS));
    const rounds = 120;
    const before = process.cpuUsage();
    for (let round = 0; round < rounds; round++) {
      const at = instantFromMs(noon - round * MINUTE_MS);
      for (const { node } of pool.nodes()) {
        const outcome = pool.scrape(node, at);
        if (outcome.kind === 'text') Buffer.byteLength(outcome.text);
      }
    }
    const used = process.cpuUsage(before);
    const msPerInstant = (used.user + used.system) / 1000 / rounds;
    console.log(`48 GPUs rendered in ${msPerInstant.toFixed(2)} ms of CPU`);
    // 1.5 ms is the aim; a test on a busy machine allows for four times that.
    expect(msPerInstant).toBeLessThan(6);
  });
});

describe('what sensors say', () => {
  const limits = (reading: GpuReading) => models.find((one) => one.name === reading.modelName)!;

  it('is physically possible at every instant', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 719 }), (seed, minute) => {
        const one = poolOf(seed % 5, 12);
        const at = instantFromMs(start + minute * MINUTE_MS + seed);
        for (const { node } of one.nodes()) {
          const outcome = one.scrape(node, at);
          if (outcome.kind !== 'text') continue;
          for (const reading of parseMetrics(outcome.text).readings) {
            const model = limits(reading);
            const value = (id: number) => reading.values.get(id);
            expect(value(155)).toBeGreaterThan(0.85 * model.idleWatts);
            expect(value(155)).toBeLessThanOrEqual(1.1 * model.powerLimitWatts);
            expect(value(150)).toBeGreaterThan(20);
            expect(value(150)).toBeLessThan(95);
            expect(value(100)).toBeLessThanOrEqual(model.smClockMaxMhz);
            expect(value(100)).toBeGreaterThanOrEqual(model.smClockIdleMhz);
            for (const id of [1001, 1002, 1003, 1004, 1005]) {
              expect(value(id)).toBeGreaterThanOrEqual(0);
              expect(value(id)).toBeLessThanOrEqual(1);
            }
            for (const id of [251, 252]) expect(value(id)).toBeGreaterThanOrEqual(0);
          }
        }
      }),
      { numRuns: 25 },
    );
  });

  it('has an energy counter that only grows between resets, and grows as the power says', () => {
    const gap = 30_000;
    for (const node of ['gpu-02', 'gpu-03']) {
      const last = new Map<string, { mj: number; power: number }>();
      let drawn = 0;
      let counted = 0;
      let resets = 0;
      for (let at = start; at <= noon; at = instantFromMs(at + gap)) {
        const outcome = pool.scrape(node, at);
        if (outcome.kind !== 'text') {
          last.clear();
          continue;
        }
        for (const { gpuUuid, gpuInstanceId, values } of parseMetrics(outcome.text).readings) {
          if (gpuInstanceId !== '') continue;
          const [mj, power] = [values.get(156)!, values.get(155)!];
          const before = last.get(gpuUuid);
          if (before !== undefined && mj < before.mj) resets += 1;
          else if (before !== undefined) {
            counted += mj - before.mj;
            drawn += ((power + before.power) / 2) * gap;
          }
          last.set(gpuUuid, { mj, power });
        }
      }
      const truth = pool.faults().filter((fault) => fault.node === node);
      // A board is reset by a fault or a reboot of its node, never otherwise.
      expect(resets).toBeLessThanOrEqual(truth.length * 8);
      expect(counted / drawn).toBeGreaterThan(0.97);
      expect(counted / drawn).toBeLessThan(1.03);
    }
  });

  it('answers one instant alike however often and in whatever order it is asked', () => {
    const instants = [700, 3, 400, 650, 3, 399].map((minute) => instantFromMs(start + minute * MINUTE_MS));
    const fresh = poolOf(1, 12);
    for (const at of instants) expect(pool.scrape('gpu-04', at)).toEqual(fresh.scrape('gpu-04', at));
    for (const at of instants.toReversed())
      expect(pool.scrape('gpu-04', at)).toEqual(fresh.scrape('gpu-04', at));
  });

  it('follows the work: power with activity, temperature behind power', () => {
    const working = { gpuUtil: 0, power: 0, n: 0 };
    const idle = { power: 0, n: 0 };
    for (let minute = 10; minute < 660; minute += 7) {
      const outcome = pool.scrape('gpu-01', instantFromMs(start + minute * MINUTE_MS));
      if (outcome.kind !== 'text') continue;
      for (const { values } of parseMetrics(outcome.text).readings) {
        if (values.get(1002)! > 0.6) {
          working.power += values.get(155)!;
          working.n += 1;
        } else if (values.get(252) === 0) {
          idle.power += values.get(155)!;
          idle.n += 1;
        }
      }
    }
    expect(working.power / working.n).toBeGreaterThan(450);
    expect(idle.power / idle.n).toBeGreaterThan(60);
    expect(idle.power / idle.n).toBeLessThan(80);
  });
});
