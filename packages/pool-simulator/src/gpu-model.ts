import { PoolmeterError } from '@poolmeter/domain';

/** What one kind of board can do, and how it behaves at rest; from vendor data sheets and public captures. */
export interface GpuModel {
  /** As nvidia-smi and the `modelName` label write it. */
  readonly name: string;
  readonly powerLimitWatts: number;
  readonly idleWatts: number;
  readonly memoryTotalMib: number;
  readonly memoryReservedMib: number;
  readonly smClockMaxMhz: number;
  readonly smClockIdleMhz: number;
  readonly memoryClockMaxMhz: number;
  readonly memoryClockIdleMhz: number;
  /** GPU temperature with no power at all, in the model's usual chassis. */
  readonly inletCelsius: number;
  /** How much one watt warms the die in the long run. */
  readonly celsiusPerWatt: number;
  /** Temperature at which the margin (field 153) is 0. */
  readonly limitCelsius: number;
  /** Memory temperature = offset + slope × GPU temperature; undefined: the board reports 0, as L4 and L40S do. */
  readonly memoryHeat: { readonly offsetCelsius: number; readonly slope: number } | undefined;
  readonly pcieBytesPerSecond: number;
  /** 0 = no NVLink: the exporter has no such series. */
  readonly nvlinkBytesPerSecond: number;
  /** Whether boards of this kind can be cut into MIG instances. */
  readonly mig: boolean;
}

export const gpuModels = {
  h100: {
    name: 'NVIDIA H100 80GB HBM3',
    powerLimitWatts: 700,
    idleWatts: 70,
    memoryTotalMib: 81_559,
    memoryReservedMib: 479,
    smClockMaxMhz: 1980,
    smClockIdleMhz: 345,
    memoryClockMaxMhz: 2619,
    memoryClockIdleMhz: 2619,
    inletCelsius: 33,
    celsiusPerWatt: 0.05,
    limitCelsius: 87,
    memoryHeat: { offsetCelsius: 29, slope: 0.46 },
    pcieBytesPerSecond: 55e9,
    nvlinkBytesPerSecond: 900e9,
    mig: true,
  },
  a100: {
    name: 'NVIDIA A100-SXM4-80GB',
    powerLimitWatts: 400,
    idleWatts: 62,
    memoryTotalMib: 81_920,
    memoryReservedMib: 594,
    smClockMaxMhz: 1410,
    smClockIdleMhz: 210,
    memoryClockMaxMhz: 1593,
    memoryClockIdleMhz: 1593,
    inletCelsius: 23,
    celsiusPerWatt: 0.098,
    limitCelsius: 85,
    memoryHeat: { offsetCelsius: 30, slope: 0.53 },
    pcieBytesPerSecond: 26e9,
    nvlinkBytesPerSecond: 600e9,
    mig: true,
  },
  l40s: {
    name: 'NVIDIA L40S',
    powerLimitWatts: 350,
    idleWatts: 35,
    memoryTotalMib: 46_068,
    memoryReservedMib: 608,
    smClockMaxMhz: 2520,
    smClockIdleMhz: 210,
    memoryClockMaxMhz: 9001,
    memoryClockIdleMhz: 405,
    inletCelsius: 26,
    celsiusPerWatt: 0.12,
    limitCelsius: 88,
    memoryHeat: undefined,
    pcieBytesPerSecond: 26e9,
    nvlinkBytesPerSecond: 0,
    mig: false,
  },
} as const satisfies Record<string, GpuModel>;

const modelsByName: ReadonlyMap<string, GpuModel> = new Map(
  Object.values(gpuModels).map((model) => [model.name, model]),
);

export function isKnownGpuModel(name: string): boolean {
  return modelsByName.has(name);
}

export function gpuModelNamed(name: string): GpuModel {
  const model = modelsByName.get(name);
  if (model !== undefined) return model;
  throw new PoolmeterError(
    'input.invalid',
    `The simulator has no GPU model "${name}"; it knows ${[...modelsByName.keys()].join(', ')}.`,
  );
}
