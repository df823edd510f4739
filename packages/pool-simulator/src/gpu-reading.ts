/** What the sensors of one GPU say at one instant: a function of its history and of hashed noise. */
import { powerFactorOf, type GpuHistory, type GpuSegment } from './gpu-history.js';
import type { GpuModel } from './gpu-model.js';
import { signedAt } from './random.js';
import { activityAt, type Activity, type Load } from './workload-pattern.js';

/** Bits of NVML's clocks event reasons. */
export const throttleBits = {
  idle: 0x1,
  powerCap: 0x4,
  hwSlowdown: 0x8,
  swThermal: 0x20,
  hwThermal: 0x40,
} as const;

/** Where a GPU stands, apart from what happens to it. */
export interface GpuPlace {
  readonly model: GpuModel;
  readonly seed: number;
  readonly history: GpuHistory;
  /** Warmer or cooler than the model's usual chassis. */
  readonly inletOffsetCelsius: number;
}

/** Engine activity of a board or an instance; ratios 0 to 1. */
export interface EngineReading {
  utilPercent: number;
  memoryCopyPercent: number;
  engineActive: number;
  smActive: number;
  smOccupancy: number;
  tensorActive: number;
  dramActive: number;
  memoryUsedMib: number;
  pcieTxBytesPerSecond: number;
  pcieRxBytesPerSecond: number;
  nvlinkMegabytesPerSecond: number;
}

/** The board as a whole. */
export interface BoardReading {
  readonly segment: GpuSegment;
  readonly engine: EngineReading;
  readonly powerWatts: number;
  readonly energyMj: number;
  readonly temperatureCelsius: number;
  readonly memoryTemperatureCelsius: number;
  readonly marginCelsius: number;
  readonly smClockMhz: number;
  readonly memoryClockMhz: number;
  readonly throttleReasons: number;
}

/** Noise of a sensor keeps for this long, so that neighbouring scrapes resemble one another as real ones do. */
const NOISE_SLOT_MS = 5_000;
const DAY_MS = 86_400_000;

function emptyEngine(): EngineReading {
  return {
    utilPercent: 0,
    memoryCopyPercent: 0,
    engineActive: 0,
    smActive: 0,
    smOccupancy: 0,
    tensorActive: 0,
    dramActive: 0,
    memoryUsedMib: 0,
    pcieTxBytesPerSecond: 0,
    pcieRxBytesPerSecond: 0,
    nvlinkMegabytesPerSecond: 0,
  };
}

/** What the engines that one load sits on say. A board without a load is at rest. */
export function readEngine(place: GpuPlace, load: Load | undefined, at: number): EngineReading {
  const reading = emptyEngine();
  const slot = Math.floor(at / NOISE_SLOT_MS);
  const noise = signedAt(place.seed, slot);
  if (load === undefined) {
    reading.pcieTxBytesPerSecond = 150_000 * (1 + 0.4 * noise);
    reading.pcieRxBytesPerSecond = 22_000 * (1 + 0.4 * noise);
    return reading;
  }
  return fillEngine(reading, {
    place,
    load,
    activity: activityAt(load, at),
    noise: signedAt(load.seed, slot),
  });
}

function fillEngine(
  reading: EngineReading,
  from: { place: GpuPlace; load: Load; activity: Activity; noise: number },
): EngineReading {
  const { load, activity, noise } = from;
  const { model } = from.place;
  const wobble = 1 + 0.03 * noise;
  reading.utilPercent = Math.min(100, Math.round(activity.util * 100 - (noise > 0.2 ? 1 : 0)));
  if (reading.utilPercent < 0) reading.utilPercent = 0;
  reading.memoryCopyPercent = Math.round(activity.dram * 80);
  reading.engineActive = Math.min(1, activity.util * 0.99 * (1 - 0.01 * Math.abs(noise)));
  reading.smActive = Math.min(1, activity.sm * wobble);
  reading.smOccupancy = Math.min(1, activity.sm * 0.42 * wobble);
  reading.tensorActive = Math.min(1, activity.tensor * wobble);
  reading.dramActive = Math.min(1, activity.dram * (1 + 0.02 * noise));
  reading.memoryUsedMib = load.memoryUsedMib;
  const pcie = model.pcieBytesPerSecond * activity.pcie * load.boardPart * wobble;
  reading.pcieRxBytesPerSecond = Math.round(pcie);
  reading.pcieTxBytesPerSecond = Math.round(pcie * 0.3);
  reading.nvlinkMegabytesPerSecond = Math.round(
    (model.nvlinkBytesPerSecond / 1e6) * activity.nvlink * wobble,
  );
  return reading;
}

/** What the whole board says. `segment` is what holds at `at`; the board must be present in it. */
export function readBoard(place: GpuPlace, segment: GpuSegment, at: number): BoardReading {
  const { model, history } = place;
  const noise = signedAt(place.seed ^ 0x55aa, Math.floor(at / NOISE_SLOT_MS));
  const factor = powerFactorOf(segment);
  let above = 0;
  let clockRatio = 1;
  let capped = false;
  let loaded = false;
  for (const load of segment.loads) {
    if (load === undefined) continue;
    loaded = true;
    const activity = activityAt(load, at);
    above += activity.powerWatts * factor;
    clockRatio = Math.min(clockRatio, activity.clockRatio);
    capped ||= activity.powerCapped;
  }
  const energy = history.energyAt(at);
  const celsius = temperatureOf(place, segment, { at, energy });
  const throttled = segment.throttle !== 'none';
  return {
    segment,
    engine: readEngine(place, segment.loads.length === 1 ? segment.loads[0] : undefined, at),
    powerWatts: Math.min(
      model.powerLimitWatts * 1.07,
      history.idleWatts * (1 + 0.008 * noise) + above * (1 + 0.04 * noise),
    ),
    energyMj: energy - segment.counterStartMj,
    temperatureCelsius: Math.round(celsius),
    memoryTemperatureCelsius:
      model.memoryHeat === undefined
        ? 0
        : Math.round(model.memoryHeat.offsetCelsius + model.memoryHeat.slope * celsius),
    marginCelsius: Math.round(model.limitCelsius - celsius),
    smClockMhz: loaded
      ? clockStep(
          model.smClockMaxMhz * (throttled ? 0.55 : clockRatio * (capped ? 1 + 0.01 * noise : 1)),
          model.smClockMaxMhz,
        )
      : model.smClockIdleMhz,
    memoryClockMhz: loaded ? model.memoryClockMaxMhz : model.memoryClockIdleMhz,
    throttleReasons: reasonsOf(segment, { loaded, capped: capped && !throttled }),
  };
}

/** Clocks move in steps of 15 MHz. */
function clockStep(mhz: number, maxMhz: number): number {
  return Math.min(maxMhz, Math.round(mhz / 15) * 15);
}

function reasonsOf(segment: GpuSegment, state: { loaded: boolean; capped: boolean }): number {
  const thermal =
    segment.throttle === 'sw_thermal'
      ? throttleBits.swThermal
      : segment.throttle === 'hw_thermal'
        ? throttleBits.hwThermal | throttleBits.hwSlowdown
        : 0;
  return thermal | (state.loaded ? 0 : throttleBits.idle) | (state.capped ? throttleBits.powerCap : 0);
}

/** Lagged by taking the mean power of the last 20, 90 and 240 seconds instead of the power of now. */
function temperatureOf(place: GpuPlace, segment: GpuSegment, now: { at: number; energy: number }): number {
  const { model, history } = place;
  const lagged =
    (0.3 * (now.energy - history.energyAt(now.at - 20_000))) / 20_000 +
    (0.4 * (now.energy - history.energyAt(now.at - 90_000))) / 90_000 +
    (0.3 * (now.energy - history.energyAt(now.at - 240_000))) / 240_000;
  const hour = ((now.at % DAY_MS) / DAY_MS) * 2 * Math.PI;
  const inlet = model.inletCelsius + place.inletOffsetCelsius + 1.2 * Math.sin(hour - 2.3);
  const celsius = inlet + model.celsiusPerWatt * lagged;
  if (segment.throttle === 'none') return Math.min(model.limitCelsius - 3, celsius);
  const ramp = Math.min(1, (now.at - segment.throttleSinceMs) / 60_000);
  return celsius + (model.limitCelsius + 1 - celsius) * ramp;
}
