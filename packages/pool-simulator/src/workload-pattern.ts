/**
 * What a job does to the GPU that it holds: a cycle of phases (compute, communication, loading, a checkpoint …) that
 * repeats with a random rotation. Every cycle has the same phases, so that the energy of any stretch of time has a
 * closed form and a reading needs no history.
 */
import type { GpuModel } from './gpu-model.js';
import { hash32, unitAt } from './random.js';

export const workloadProfiles = [
  'training_steady',
  'training_oscillating',
  'inference_bursty',
  'stalled',
  'data_loading',
  'notebook',
  'idle_leased',
] as const;

export type WorkloadProfile = (typeof workloadProfiles)[number];

/** How busy each part is; ratios 0 to 1. PCIe and NVLink are ratios of what the board could carry. */
interface Levels {
  readonly util: number;
  readonly sm: number;
  readonly tensor: number;
  readonly dram: number;
  readonly pcie: number;
  readonly nvlink: number;
}

interface ProfileShape {
  readonly cycleMs: number;
  readonly phases: readonly (Levels & { readonly part: number })[];
}

const AT_REST: Levels = { util: 0, sm: 0, tensor: 0, dram: 0, pcie: 0.00001, nvlink: 0 };
const LOADING: Levels = { util: 0.12, sm: 0.04, tensor: 0, dram: 0.06, pcie: 0.25, nvlink: 0 };
const WAITING: Levels = { util: 1, sm: 0.06, tensor: 0.005, dram: 0.04, pcie: 0.002, nvlink: 0.02 };
const COMPUTE: Levels = { util: 1, sm: 0.82, tensor: 0.24, dram: 0.42, pcie: 0.02, nvlink: 0.3 };

const shapes: Readonly<Record<WorkloadProfile, ProfileShape>> = {
  training_steady: {
    cycleMs: 600_000,
    phases: [
      { ...COMPUTE, part: 0.93 },
      { ...COMPUTE, sm: 0.4, tensor: 0.08, nvlink: 0.6, part: 0.05 },
      { ...AT_REST, util: 0.03, pcie: 0.3, part: 0.02 },
    ],
  },
  training_oscillating: {
    cycleMs: 90_000,
    phases: [
      { ...COMPUTE, sm: 0.7, tensor: 0.17, part: 0.55 },
      { ...WAITING, sm: 0.3, tensor: 0.03, nvlink: 0.7, part: 0.35 },
      { ...LOADING, part: 0.1 },
    ],
  },
  inference_bursty: {
    cycleMs: 60_000,
    phases: [
      { util: 0.97, sm: 0.5, tensor: 0.1, dram: 0.62, pcie: 0.03, nvlink: 0.02, part: 0.6 },
      { util: 0.2, sm: 0.08, tensor: 0.01, dram: 0.1, pcie: 0.005, nvlink: 0, part: 0.4 },
    ],
  },
  stalled: { cycleMs: 120_000, phases: [{ ...WAITING, part: 1 }] },
  data_loading: { cycleMs: 30_000, phases: [{ ...LOADING, part: 1 }] },
  notebook: {
    cycleMs: 1_800_000,
    phases: [
      { ...COMPUTE, sm: 0.35, tensor: 0.05, dram: 0.2, part: 0.07 },
      { ...AT_REST, part: 0.93 },
    ],
  },
  idle_leased: { cycleMs: 600_000, phases: [{ ...AT_REST, part: 1 }] },
};

/** One phase of a load, in the units of the exporter. Power comes on top of the board's power at rest. */
export interface Activity extends Levels {
  readonly powerWatts: number;
  /** 1 = full clock; below when the power limit bites. */
  readonly clockRatio: number;
  readonly powerCapped: boolean;
}

/** What one lease does on one GPU or instance, from some instant on. */
export interface Load {
  readonly seed: number;
  readonly originMs: number;
  readonly cycleMs: number;
  readonly phases: readonly Activity[];
  /** Where each phase ends, as a part of the cycle; the last is 1. */
  readonly phaseEnds: readonly number[];
  /** Mean watts × part of the cycle, up to the end of each phase. */
  readonly powerUntil: readonly number[];
  readonly memoryUsedMib: number;
  /** Part of the board's compute that this load sits on: 1, or slices/7. */
  readonly boardPart: number;
}

export interface LoadSettings {
  readonly profile: WorkloadProfile;
  readonly model: GpuModel;
  readonly seed: number;
  readonly originMs: number;
  readonly memoryUsedMib: number;
  readonly boardPart: number;
  /** How hard it works compared with the profile's middle; 1 = as the profile says. */
  readonly intensity: number;
}

export function createLoad(settings: LoadSettings): Load {
  const shape = shapes[settings.profile];
  const parts = partsOf(settings.profile, shape, settings.intensity);
  const phases = shape.phases.map((phase) => activityOf(phase, settings));
  let end = 0;
  const phaseEnds = parts.map((part) => (end += part));
  phaseEnds[phaseEnds.length - 1] = 1;
  let watts = 0;
  const powerUntil = phases.map((phase, i) => (watts += phase.powerWatts * (parts[i] ?? 0)));
  const { seed, originMs, memoryUsedMib, boardPart } = settings;
  return {
    seed,
    originMs,
    cycleMs: shape.cycleMs,
    phases,
    phaseEnds,
    powerUntil,
    memoryUsedMib,
    boardPart,
  };
}

/** Inference works harder by being busy for longer; everything else by its levels. */
function partsOf(profile: WorkloadProfile, shape: ProfileShape, intensity: number): number[] {
  if (profile !== 'inference_bursty') return shape.phases.map((phase) => phase.part);
  const busy = Math.min(0.97, Math.max(0.05, 0.6 * intensity));
  return [busy, 1 - busy];
}

/** Memory clocks and fans run faster as soon as a program holds the board. */
const CONTEXT_PART = 0.03;

function activityOf(levels: Levels, settings: LoadSettings): Activity {
  const { model, boardPart, intensity } = settings;
  const scale = settings.profile === 'inference_bursty' ? 1 : intensity;
  const sm = Math.min(0.99, levels.sm * scale);
  const tensor = Math.min(0.95, levels.tensor * scale);
  const dram = Math.min(0.95, levels.dram * scale);
  const asked = CONTEXT_PART + 0.03 * levels.util + 0.55 * sm + 0.8 * tensor + 0.5 * dram;
  const capped = asked > 1;
  return {
    util: levels.util,
    sm,
    tensor,
    dram,
    pcie: levels.pcie,
    nvlink: levels.nvlink,
    powerWatts: (model.powerLimitWatts - model.idleWatts) * Math.min(1, asked) * boardPart,
    clockRatio: capped ? Math.max(0.72, asked ** -0.6) : 1,
    powerCapped: capped,
  };
}

/** The phase that runs at an instant. */
export function activityAt(load: Load, at: number): Activity {
  const cycles = (at - load.originMs) / load.cycleMs;
  const cycle = Math.floor(cycles);
  const place = (cycles - cycle + unitAt(load.seed, cycle)) % 1;
  const { phaseEnds, phases } = load;
  let index = 0;
  while (index < phases.length - 1 && place >= (phaseEnds[index] ?? 1)) index += 1;
  return phases[index] as Activity;
}

/** Energy above rest between two instants, in millijoules (watts × milliseconds). */
export function loadEnergyMj(load: Load, from: number, to: number): number {
  return (energyCycles(load, to) - energyCycles(load, from)) * load.cycleMs;
}

/** Mean watts × cycles since the origin. */
function energyCycles(load: Load, at: number): number {
  const cycles = (at - load.originMs) / load.cycleMs;
  const cycle = Math.floor(cycles);
  const perCycle = load.powerUntil[load.powerUntil.length - 1] ?? 0;
  if (load.phases.length === 1) return cycles * perCycle;
  const rotation = unitAt(load.seed, cycle);
  const end = rotation + cycles - cycle;
  const wrapped = end >= 1 ? perCycle + wattsUntil(load, end - 1) : wattsUntil(load, end);
  return cycle * perCycle + wrapped - wattsUntil(load, rotation);
}

function wattsUntil(load: Load, place: number): number {
  const { phaseEnds, powerUntil, phases } = load;
  let index = 0;
  while (index < phases.length - 1 && place >= (phaseEnds[index] ?? 1)) index += 1;
  const end = phaseEnds[index] ?? 1;
  return (powerUntil[index] ?? 0) - (end - place) * (phases[index]?.powerWatts ?? 0);
}

/** The seed of one lease's load on one GPU. */
export function loadSeed(jobSeed: number, rank: number): number {
  return hash32(jobSeed, rank + 1);
}
