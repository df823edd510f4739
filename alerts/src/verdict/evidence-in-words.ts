/** Evidence written the way an operator would tell it, for tests that a domain person can read. */
import { instantFromMs, interval, parseInstant, type EpochMs } from '@poolmeter/domain';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import type { EventEvidence, FaultEvidence, GpuTelemetry, LeaseEvidence, SignalStretch } from './evidence.js';

/** `10:40:00.250` on the day of all stories. */
export function at(time: string): EpochMs {
  const seconds = time.split(':').length === 2 ? `${time}:00` : time;
  return parseInstant(`2026-03-02T${seconds}Z`);
}

export const NODE = 'gpu-01';
export const GPU = 'GPU-aaaa';
export const OTHER_GPU = 'GPU-bbbb';

type EventFacts = Partial<Omit<GpuEvent, 'ts'>> & Pick<GpuEvent, 'kind'>;

/** One event; its sequence follows from its time unless it is given. */
export function happens(time: string, facts: EventFacts): EventEvidence {
  const ts = at(time);
  const event: GpuEvent = {
    ts,
    bootId: 'boot-1',
    sequence: BigInt(ts),
    node: NODE,
    gpuUuid: GPU,
    gpuInstance: '',
    pool: 'main',
    providerId: 'north',
    code: 0,
    message: '',
    detail: {},
    demo: false,
    ...facts,
  };
  return { event };
}

export function xid(time: string, code: number, facts: Partial<EventFacts> = {}): EventEvidence {
  const message = `NVRM: Xid (PCI:0000:3b:00): ${code}, pid='<unknown>', name=<unknown>, as the kernel wrote it`;
  return happens(time, { kind: 'xid', code, message, ...facts });
}

type Range = readonly [from: string, to: string];

export function seenDuring(
  gpuUuid: string,
  ranges: readonly Range[],
  facts: Partial<GpuTelemetry> = {},
): GpuTelemetry {
  const seen = ranges.map(([from, to]) => interval(at(from), at(to)));
  return { node: NODE, gpuUuid, pool: 'main', providerId: 'north', demo: false, seen, unwell: [], ...facts };
}

export function signal(
  which: SignalStretch['signal'],
  range: Range,
  facts: Partial<SignalStretch> = {},
): SignalStretch {
  const during = interval(at(range[0]), at(range[1]));
  return { signal: which, node: NODE, gpuUuid: GPU, gpuInstance: '', during, extreme: 0, ...facts };
}

export function lease(leaseId: string, from: string, to?: string): LeaseEvidence {
  const end = to === undefined ? undefined : at(to);
  return { leaseId, node: NODE, gpuUuid: GPU, gpuInstance: '', start: at(from), end };
}

export function evidenceOf(facts: Partial<FaultEvidence> & { readonly asOf: EpochMs }): FaultEvidence {
  return { events: [], history: [], telemetry: [], signals: [], leases: [], resolutions: [], ...facts };
}

export function msAfter(instant: EpochMs, ms: number): EpochMs {
  return instantFromMs(instant + ms);
}
