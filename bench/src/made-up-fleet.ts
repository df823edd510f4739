/**
 * Samples for measuring how fast they are moved: 1,024 GPUs whose values wander as those of a training fleet do, in the
 * order in which collectors of 64 GPUs send them. What they cost on disk is measured with the simulator instead.
 */
import { instantFromMs } from '@poolmeter/domain';
import { encodeSampleRows, type GpuSample } from '@poolmeter/telemetry-schema';
import { createRandom, type Random } from './kill-rounds/random.js';

export const FLEET_GPUS = 1_024;
export const ROWS_PER_MESSAGE = 64;
const COLLECTORS = FLEET_GPUS / ROWS_PER_MESSAGE;
const STEP_MS = 10_000;
const MIB = 1_048_576;
const WATTS_IDLE = 68;
const JOULES_AT_START = 1_000_000;
const SHARE_BUSY = 0.6;
/** Chance that a job begins or ends between two scrapes. */
const SHARE_CHANGING = 0.002;

export interface FleetMessage {
  /** 0 to 15: who sends it. */
  readonly collector: number;
  readonly sequence: number;
  readonly rows: Buffer;
}

export interface Gpu {
  readonly index: number;
  busy: boolean;
  sm: number;
  joules: number;
  celsius: number;
  memoryMib: number;
}

/** `ticks` scrapes of every GPU, ten seconds apart, oldest first. */
export function* fleetMessages(ticks: number, startMs: number): Generator<FleetMessage> {
  const random = createRandom(20_260_301);
  const gpus = Array.from({ length: FLEET_GPUS }, (_, index) => createGpu(index, random));
  for (let tick = 0; tick < ticks; tick += 1) {
    for (let collector = 0; collector < COLLECTORS; collector += 1) {
      const first = collector * ROWS_PER_MESSAGE;
      const tsMs = startMs + tick * STEP_MS + collector * 131;
      const samples = gpus.slice(first, first + ROWS_PER_MESSAGE).map((gpu) => sampleOf(gpu, tsMs, random));
      yield { collector, sequence: tick, rows: encodeSampleRows(samples) };
    }
  }
}

export function createGpu(index: number, random: Random): Gpu {
  return {
    index,
    busy: random.next() < SHARE_BUSY,
    sm: random.next(),
    joules: JOULES_AT_START + index,
    celsius: 55,
    memoryMib: Math.floor(random.next() * 80_000),
  };
}

export function gpuUuidOf({ index }: Gpu): string {
  return `GPU-5d1f2c0e-7a3b-4c1d-9e2f-${String(index).padStart(12, '0')}`;
}

/** The GPU moves on by one scrape. */
export function sampleOf(gpu: Gpu, tsMs: number, random: Random): GpuSample {
  const chance = () => random.next();
  if (chance() < SHARE_CHANGING) {
    gpu.busy = !gpu.busy;
    gpu.memoryMib = Math.floor(chance() * 80_000);
  }
  gpu.sm = gpu.busy ? Math.min(1, 0.8 * gpu.sm + 0.2 * (0.4 + 0.5 * chance())) : 0;
  const watts = gpu.busy ? 250 + 400 * gpu.sm + 10 * chance() : WATTS_IDLE + chance();
  gpu.joules += watts * (STEP_MS / 1_000);
  gpu.celsius = 0.95 * gpu.celsius + 0.05 * (30 + watts / 14);
  const node = String(gpu.index >> 3).padStart(4, '0');
  const wobble = () => 1 + 0.03 * (chance() - 0.5);
  return {
    ...QUIET,
    ts: instantFromMs(tsMs),
    ingestedAt: instantFromMs(tsMs + 40),
    node: `gpu-node-${node}`,
    gpuUuid: gpuUuidOf(gpu),
    providerId: gpu.index < FLEET_GPUS / 2 ? 'north' : 'south',
    gpuIndex: gpu.index & 7,
    leaseId: gpu.busy ? `lease-${node}` : '',
    gpuUtilRatio: gpu.busy ? 0.99 - (chance() < 0.2 ? 0.01 : 0) : 0,
    memoryCopyUtilRatio: Math.round(gpu.sm * 40) / 100,
    graphicsEngineActiveRatio: gpu.busy ? 0.98 * (1 - 0.01 * chance()) : 0,
    smActiveRatio: gpu.sm,
    smOccupancyRatio: gpu.sm * 0.42,
    tensorActiveRatio: gpu.sm * 0.55 * wobble(),
    dramActiveRatio: gpu.sm * 0.5 * wobble(),
    memoryUsedBytes: gpu.busy ? gpu.memoryMib * MIB : 0,
    powerWatts: watts,
    energyJoules: Math.round(gpu.joules),
    temperatureCelsius: Math.round(gpu.celsius),
    memoryTemperatureCelsius: Math.round(gpu.celsius + 9),
    temperatureMarginCelsius: Math.round(87 - gpu.celsius),
    smClockMhz: gpu.busy ? 1_980 - 15 * Math.floor(chance() * 4 * gpu.sm) : 345,
    throttleReasons: gpu.busy ? 0 : 1,
    pcieTxBytesPerSecond: gpu.busy ? Math.round(gpu.sm * 3e9 * chance()) : 150_000,
    pcieRxBytesPerSecond: gpu.busy ? Math.round(gpu.sm * 9e9 * chance()) : 22_000,
    nvlinkBytesPerSecond: gpu.busy ? Math.round(gpu.sm * 2e11 * chance()) : 0,
  };
}

/** What does not move. */
const QUIET = {
  gpuInstance: '',
  gpuInstanceProfile: '',
  gpuModel: 'NVIDIA H100 80GB HBM3',
  pool: 'main',
  memoryTotalBytes: 81_559 * MIB,
  powerLimitWatts: 700,
  energyEpoch: 0,
  memoryClockMhz: 2_619,
  pcieReplayTotal: 0,
  eccCorrectableTotal: 0,
  eccUncorrectableTotal: 0,
  rowRemapCorrectableTotal: 0,
  rowRemapUncorrectableTotal: 0,
  rowRemapState: 0,
  recoveryAction: 0,
  lastXid: 0,
  flags: 0,
} as const;
