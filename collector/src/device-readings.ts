import type { GpuReading } from 'dcgm-exporter-client';

/**
 * Fields that belong to the whole GPU and would be counted several times if each MIG instance carried them: power,
 * energy, link traffic, error counters, the driver's verdict.
 */
const ONCE_PER_DEVICE: ReadonlySet<number> = new Set([
  155, 156, 160, 164, 202, 310, 311, 312, 313, 393, 394, 395, 396, 449, 1009, 1010, 1523,
]);

/** Fields of the whole GPU that may stand on its instances too: clocks, temperatures, throttling, the last Xid. */
const SHARED_WITH_INSTANCES: ReadonlySet<number> = new Set([100, 101, 112, 140, 150, 153, 230]);

/** The readings of one GPU: the device itself, and the MIG instances that it is cut into. */
export interface DeviceReadings {
  readonly device: GpuReading;
  readonly instances: readonly GpuReading[];
  /** The exporter gave instances only, so that the device was put together from them. */
  readonly fromInstances: boolean;
}

/**
 * Groups readings by GPU. Exporters in MIG mode repeat the device's values on each instance and may give no row for the
 * device at all: each GPU gets exactly one device reading, and its instances keep what is theirs.
 */
export function deviceReadings(readings: readonly GpuReading[]): DeviceReadings[] {
  const byUuid = new Map<string, GpuReading[]>();
  for (const reading of readings) {
    const group = byUuid.get(reading.gpuUuid);
    if (group === undefined) byUuid.set(reading.gpuUuid, [reading]);
    else group.push(reading);
  }
  return [...byUuid.values()].map(deviceOf);
}

function deviceOf(group: readonly GpuReading[]): DeviceReadings {
  const device = group.find((reading) => reading.gpuInstanceId === '');
  const instances = group.filter((reading) => reading.gpuInstanceId !== '');
  const any = device ?? group[0];
  if (any === undefined) throw new Error('A group of readings is never empty.');
  if (instances.length === 0) return { device: any, instances, fromInstances: false };
  return {
    device: {
      ...any,
      gpuInstanceId: '',
      gpuInstanceProfile: '',
      attributions: device?.attributions ?? [],
      values: deviceValues(device, instances),
    },
    instances: instances.map(withoutDeviceValues),
    fromInstances: device === undefined,
  };
}

/** The device's own values, completed by what its instances repeat: the largest, which was read last of a counter. */
function deviceValues(
  device: GpuReading | undefined,
  instances: readonly GpuReading[],
): ReadonlyMap<number, number> {
  const values = new Map(device?.values);
  for (const instance of instances) {
    for (const [fieldId, value] of instance.values) {
      const ofDevice = ONCE_PER_DEVICE.has(fieldId) || SHARED_WITH_INSTANCES.has(fieldId);
      if (!ofDevice || device?.values.has(fieldId) === true) continue;
      values.set(fieldId, Math.max(value, values.get(fieldId) ?? value));
    }
  }
  return values;
}

function withoutDeviceValues(instance: GpuReading): GpuReading {
  const own = [...instance.values].filter(([fieldId]) => !ONCE_PER_DEVICE.has(fieldId));
  return { ...instance, values: new Map(own) };
}
