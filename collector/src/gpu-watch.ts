import type { GpuReading } from 'dcgm-exporter-client';
import type { DeviceReadings } from './device-readings.js';

/** Fields that come and go by design: the Xid row exists only after an Xid. */
const COMES_AND_GOES: ReadonlySet<number> = new Set([230]);

/** A field that was absent for this many scrapes is no longer expected: the exporter was configured anew. */
const FORGET_FIELD_AFTER_SCRAPES = 20;

/** An instance that was absent for this many scrapes, while its GPU was there, is gone. */
const GONE_AFTER_SCRAPES = 2;

/** Below this part of the earlier value, a counter that was read from instances has been reset; above, it is skew. */
const INSTANCE_RESET_RATIO = 0.5;

interface InstanceState {
  readonly generation: number;
  readonly profile: string;
  readonly missedScrapes: number;
  readonly gone: boolean;
}

/** What is remembered of one GPU between scrapes and over restarts of the agent. Plain JSON. */
export interface GpuState {
  readonly node: string;
  readonly gpuIndex: number;
  readonly gpuModel: string;
  readonly driverVersion: string;
  readonly pciBusId: string;
  readonly energyMillijoules: number | null;
  readonly energyEpoch: number;
  readonly missedScrapes: number;
  readonly lost: boolean;
  readonly instances: Readonly<Record<string, InstanceState>>;
  /** Entity ('' or instance id) → DCGM field id → scrapes since it was last seen. */
  readonly expectedFields: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface EnergyStep {
  readonly millijoules: number | null;
  readonly epoch: number;
  readonly reset: boolean;
}

/**
 * The counter restarts from zero when the driver is loaded anew; then the epoch grows by one. A counter that was put
 * together from instances may seem to fall a little when the instance that was read last is gone: it is held.
 */
export function energyStep(before: GpuState | undefined, now: DeviceReadings): EnergyStep {
  const millijoules = now.device.values.get(156);
  const epoch = before?.energyEpoch ?? 0;
  const last = before?.energyMillijoules ?? null;
  if (millijoules === undefined) return { millijoules: last, epoch, reset: false };
  if (last === null || millijoules >= last) return { millijoules, epoch, reset: false };
  if (now.fromInstances && millijoules > last * INSTANCE_RESET_RATIO) {
    return { millijoules: last, epoch, reset: false };
  }
  return { millijoules, epoch: (epoch + 1) % 65_536, reset: true };
}

export interface InstanceSteps {
  readonly states: Readonly<Record<string, InstanceState>>;
  readonly appeared: readonly string[];
  readonly vanished: readonly { readonly id: string; readonly state: InstanceState }[];
}

/** An id that returns after it was gone, or with another profile, is another instance: its generation grows. */
export function instanceSteps(before: GpuState | undefined, instances: readonly GpuReading[]): InstanceSteps {
  const states: Record<string, InstanceState> = {};
  const appeared: string[] = [];
  const vanished: { id: string; state: InstanceState }[] = [];
  const present = new Map(instances.map((one) => [one.gpuInstanceId, one.gpuInstanceProfile]));
  for (const [id, profile] of present) {
    const known = before?.instances[id];
    const same = known !== undefined && !known.gone && known.profile === profile;
    const generation = known === undefined ? 0 : known.generation + (same ? 0 : 1);
    if (known !== undefined && !known.gone && !same) vanished.push({ id, state: known });
    if (!same) appeared.push(id);
    states[id] = { generation, profile, missedScrapes: 0, gone: false };
  }
  for (const [id, known] of Object.entries(before?.instances ?? {})) {
    if (present.has(id)) continue;
    const missedScrapes = known.gone ? known.missedScrapes : known.missedScrapes + 1;
    const gone = known.gone || missedScrapes >= GONE_AFTER_SCRAPES;
    if (gone && !known.gone) vanished.push({ id, state: known });
    states[id] = { ...known, missedScrapes, gone };
  }
  return { states, appeared, vanished };
}

export interface FieldSteps {
  readonly expected: Readonly<Record<string, number>>;
  /** DCGM field ids that this entity gave lately and does not give now. */
  readonly missing: readonly number[];
}

export function fieldSteps(before: Readonly<Record<string, number>>, reading: GpuReading): FieldSteps {
  const expected: Record<string, number> = {};
  const missing: number[] = [];
  for (const fieldId of reading.values.keys()) {
    if (!COMES_AND_GOES.has(fieldId)) expected[fieldId] = 0;
  }
  for (const [key, absentScrapes] of Object.entries(before)) {
    if (key in expected) continue;
    if (absentScrapes + 1 >= FORGET_FIELD_AFTER_SCRAPES) continue;
    expected[key] = absentScrapes + 1;
    missing.push(Number(key));
  }
  return { expected, missing };
}

/** Fields of which two fresh collections never agree to the last digit on a running GPU. */
const NEVER_STILL = [155, 156];

/**
 * Exporters collect less often than they are scraped, so that values appear again. Equal values prove it only where
 * one of them never stands still; without energy and power (vGPU guests) nothing is claimed.
 */
export function isRepeat(
  before: ReadonlyMap<number, number> | undefined,
  now: ReadonlyMap<number, number>,
): boolean {
  if (before === undefined || before.size !== now.size) return false;
  if (!NEVER_STILL.some((fieldId) => (now.get(fieldId) ?? 0) > 0)) return false;
  for (const [fieldId, value] of now) {
    if (before.get(fieldId) !== value) return false;
  }
  return true;
}
