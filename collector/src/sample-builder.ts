import { type EpochMs } from '@poolmeter/domain';
import { sampleFlags, type GpuEvent, type GpuEventKind, type GpuSample } from '@poolmeter/telemetry-schema';
import type { GpuReading } from 'dcgm-exporter-client';
import { deviceReadings, type DeviceReadings } from './device-readings.js';
import type { EventIdentity } from './event-identity.js';
import {
  energyStep,
  fieldSteps,
  instanceSteps,
  isRepeat,
  type EnergyStep,
  type GpuState,
  type InstanceSteps,
} from './gpu-watch.js';
import { sampleFromReading } from './sample-from-reading.js';

/** A GPU that was absent for this many good scrapes, while others were there, is lost. */
const LOST_AFTER_SCRAPES = 2;

export interface SampleBuilderOptions {
  /** The node's name, where the operator gave one. */
  readonly node?: string | undefined;
  /** The node's name when the exporter gives no host name either. */
  readonly fallbackNode: string;
  readonly pool: string;
  readonly providerId: string;
  readonly identity: EventIdentity;
  /** Marks everything as demo data. */
  readonly demo?: boolean | undefined;
  /** What an earlier builder of the same source remembered. */
  readonly gpus?: Readonly<Record<string, GpuState>> | undefined;
}

export interface ScrapeTimes {
  /** The agent's wall time of the collection. */
  readonly ts: EpochMs;
  /** The agent's publish time. */
  readonly ingestedAt: EpochMs;
  /** Lines of the scrape were unreadable, so that anything may be missing. */
  readonly badLines?: number;
  /** The agent's clock is in doubt. */
  readonly clockDoubtful?: boolean;
}

export interface BuiltSamples {
  readonly samples: readonly GpuSample[];
  readonly events: readonly GpuEvent[];
  /** Why this scrape is partial; empty when it is whole. */
  readonly partialReasons: readonly string[];
}

export interface SampleBuilder {
  /** The samples of one good scrape, and what happened to GPUs and instances since the one before. */
  samplesFrom(readings: readonly GpuReading[], times: ScrapeTimes): BuiltSamples;
  /** What to give to the next builder of this source: plain JSON. */
  gpus(): Readonly<Record<string, GpuState>>;
  /** The name of the node as far as it is known. */
  node(): string;
}

/** Turns the readings of one source, scrape by scrape, into samples and events. Knows no clock and no network. */
export function createSampleBuilder(options: SampleBuilderOptions): SampleBuilder {
  return new StatefulSampleBuilder(options);
}

interface GpuSteps {
  readonly group: DeviceReadings;
  readonly node: string;
  readonly energy: EnergyStep;
  readonly instances: InstanceSteps;
  readonly missing: readonly string[];
  readonly state: GpuState;
  readonly before: GpuState | undefined;
}

class StatefulSampleBuilder implements SampleBuilder {
  readonly #options: SampleBuilderOptions;
  readonly #gpus: Map<string, GpuState>;
  readonly #lastValues = new Map<string, ReadonlyMap<number, number>>();
  #node: string;

  constructor(options: SampleBuilderOptions) {
    this.#options = options;
    this.#gpus = new Map(Object.entries(options.gpus ?? {}));
    this.#node = options.node ?? this.#gpus.values().next().value?.node ?? options.fallbackNode;
  }

  gpus(): Readonly<Record<string, GpuState>> {
    return Object.fromEntries(this.#gpus);
  }

  node(): string {
    return this.#node;
  }

  samplesFrom(readings: readonly GpuReading[], times: ScrapeTimes): BuiltSamples {
    const steps = deviceReadings(readings).map((group) => this.#stepOf(group));
    const events = steps.flatMap((step) => this.#eventsOf(step, times.ts));
    const absent = this.#absentGpus(steps, times.ts);
    for (const step of steps) this.#gpus.set(step.group.device.gpuUuid, step.state);
    const partialReasons = [
      ...((times.badLines ?? 0) > 0 ? [`${times.badLines} unreadable lines`] : []),
      ...absent.missing,
      ...steps.flatMap((step) => step.missing),
    ];
    const wholeScrapePartial = (times.badLines ?? 0) > 0 || absent.missing.length > 0;
    const samples = steps.flatMap((step) => this.#samplesOf(step, times, wholeScrapePartial));
    return { samples, events: [...driverEvents(events), ...absent.events], partialReasons };
  }

  #stepOf(group: DeviceReadings): GpuSteps {
    const { device } = group;
    const before = this.#gpus.get(device.gpuUuid);
    const node =
      this.#options.node ?? (device.hostname === '' ? this.#options.fallbackNode : device.hostname);
    this.#node = node;
    const energy = energyStep(before, group);
    const instances = instanceSteps(before, group.instances);
    // Cutting a GPU into instances changes what its rows hold: what was expected before says nothing then.
    const recut = instances.appeared.length > 0 || instances.vanished.length > 0;
    const expected = recut ? {} : (before?.expectedFields ?? {});
    const fields = [device, ...group.instances].map((reading) => ({
      id: reading.gpuInstanceId,
      ...fieldSteps(expected[reading.gpuInstanceId] ?? {}, reading),
    }));
    const state: GpuState = {
      node,
      gpuIndex: device.gpuIndex ?? 0,
      gpuModel: device.modelName,
      driverVersion: device.driverVersion,
      pciBusId: device.pciBusId === '' ? (before?.pciBusId ?? '') : device.pciBusId,
      energyMillijoules: energy.millijoules,
      energyEpoch: energy.epoch,
      missedScrapes: 0,
      lost: false,
      instances: instances.states,
      expectedFields: Object.fromEntries(fields.map((one) => [one.id, one.expected])),
    };
    const missing = fields
      .filter((one) => one.missing.length > 0)
      .map((one) => `${entityName(device.gpuUuid, one.id)} lacks fields ${one.missing.join(', ')}`);
    return { group, node, energy, instances, missing, state, before };
  }

  #samplesOf(step: GpuSteps, times: ScrapeTimes, wholeScrapePartial: boolean): GpuSample[] {
    const { device, instances } = step.group;
    const repeat = isRepeat(this.#lastValues.get(device.gpuUuid), device.values);
    this.#lastValues.set(device.gpuUuid, device.values);
    const flags =
      (repeat ? sampleFlags.repeat : 0) |
      (wholeScrapePartial || step.missing.length > 0 ? sampleFlags.partialScrape : 0) |
      (times.clockDoubtful === true ? sampleFlags.clockDoubtful : 0) |
      (this.#options.demo === true ? sampleFlags.demo : 0);
    const held = step.energy.millijoules;
    const values =
      held === null || !device.values.has(156) ? device.values : new Map(device.values).set(156, held);
    return [{ ...device, values }, ...instances].map((reading) =>
      sampleFromReading(reading, {
        ts: times.ts,
        ingestedAt: times.ingestedAt,
        node: step.node,
        pool: this.#options.pool,
        providerId: this.#options.providerId,
        gpuInstance: instanceName(step.state, reading.gpuInstanceId),
        energyEpoch: step.energy.epoch,
        flags,
      }),
    );
  }

  #eventsOf(step: GpuSteps, ts: EpochMs): GpuEvent[] {
    const { device } = step.group;
    const { before, state } = step;
    const event = (kind: GpuEventKind, message: string, detail: GpuEvent['detail'], gpuInstance = '') =>
      this.#event(kind, { ts, node: step.node, gpuUuid: device.gpuUuid, gpuInstance, message, detail });
    const facts = { gpu_model: state.gpuModel, gpu_index: state.gpuIndex, pci_bus_id: state.pciBusId };
    const events: GpuEvent[] = [];
    if (before === undefined || before.lost) {
      const again = before?.lost === true ? ' again' : '';
      events.push(
        event('gpu.appeared', `${device.gpuUuid} is exported${again}.`, {
          ...facts,
          returned: before?.lost === true,
        }),
      );
    }
    if (
      before !== undefined &&
      state.driverVersion !== '' &&
      before.driverVersion !== '' &&
      before.driverVersion !== state.driverVersion
    ) {
      const detail = { from: before.driverVersion, to: state.driverVersion };
      events.push(
        event('driver.restarted', `The driver changed from ${detail.from} to ${detail.to}.`, detail),
      );
    }
    if (step.energy.reset) {
      const detail = {
        counter: 'energy',
        before_mj: before?.energyMillijoules,
        after_mj: step.energy.millijoules,
        energy_epoch: step.energy.epoch,
      };
      events.push(event('counter.reset', `The energy counter of ${device.gpuUuid} began anew.`, detail));
    }
    for (const { id, state: gone } of step.instances.vanished) {
      const name = `${id}/${gone.generation}`;
      events.push(
        event(
          'gpu_instance.vanished',
          `MIG instance ${name} is no longer exported.`,
          { profile: gone.profile },
          name,
        ),
      );
    }
    for (const id of step.instances.appeared) {
      const name = instanceName(state, id);
      const profile = state.instances[id]?.profile ?? '';
      events.push(event('gpu_instance.appeared', `MIG instance ${name} is exported.`, { profile }, name));
    }
    return events;
  }

  /** GPUs that were there before and are not now. With no GPU at all the exporter is at fault, and nothing is lost. */
  #absentGpus(steps: readonly GpuSteps[], ts: EpochMs): { missing: string[]; events: GpuEvent[] } {
    const present = new Set(steps.map((step) => step.group.device.gpuUuid));
    const missing: string[] = [];
    const events: GpuEvent[] = [];
    if (present.size === 0) return { missing: ['no GPU is exported'], events };
    for (const [gpuUuid, state] of this.#gpus) {
      if (present.has(gpuUuid) || state.lost) continue;
      const missedScrapes = state.missedScrapes + 1;
      const lost = missedScrapes >= LOST_AFTER_SCRAPES;
      this.#gpus.set(gpuUuid, { ...state, missedScrapes, lost });
      if (!lost) {
        missing.push(`${gpuUuid} is missing`);
        continue;
      }
      const message = `${gpuUuid} was absent from ${missedScrapes} scrapes while ${present.size} other GPUs were there.`;
      const detail = {
        gpu_model: state.gpuModel,
        gpu_index: state.gpuIndex,
        pci_bus_id: state.pciBusId,
        missed_scrapes: missedScrapes,
        present_gpus: present.size,
      };
      events.push(
        this.#event('gpu.lost', { ts, node: state.node, gpuUuid, gpuInstance: '', message, detail }),
      );
    }
    return { missing, events };
  }

  #event(
    kind: GpuEventKind,
    about: Pick<GpuEvent, 'ts' | 'node' | 'gpuUuid' | 'gpuInstance' | 'message' | 'detail'>,
  ): GpuEvent {
    const { identity, pool, providerId, demo } = this.#options;
    return {
      ...about,
      kind,
      code: 0,
      bootId: identity.bootId,
      sequence: identity.next(),
      pool,
      providerId,
      demo: demo ?? false,
    };
  }
}

/** A driver is shared by all GPUs of a node: one event per node says it. */
function driverEvents(events: readonly GpuEvent[]): GpuEvent[] {
  const seen = new Set<string>();
  return events
    .map((event) => (event.kind === 'driver.restarted' ? { ...event, gpuUuid: '' } : event))
    .filter((event) => {
      if (event.kind !== 'driver.restarted') return true;
      if (seen.has(event.node)) return false;
      seen.add(event.node);
      return true;
    });
}

/** '' for the GPU itself, else `GI id/generation`. */
export function instanceName(state: GpuState | undefined, instanceId: string): string {
  return instanceId === '' ? '' : `${instanceId}/${state?.instances[instanceId]?.generation ?? 0}`;
}

function entityName(gpuUuid: string, instanceId: string): string {
  return instanceId === '' ? gpuUuid : `${gpuUuid} instance ${instanceId}`;
}
