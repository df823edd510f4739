/** Events as symptoms: once each, in one order, with the GPU behind a PCI bus id found where it can be. */
import { canonicalJson } from '@poolmeter/domain';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import type { EventCondition, Fault, FaultPolicy } from '../policy/fault-policy.js';
import { eventId, type EventEvidence } from './evidence.js';
import type { Symptom } from './incident.js';

/** Each event once, by time; two spellings of one event leave the one that sorts first, whichever came first. */
export function distinctEvents(events: readonly EventEvidence[]): EventEvidence[] {
  const byId = new Map<string, EventEvidence>();
  for (const one of events) {
    const id = eventId(one.event);
    const known = byId.get(id);
    if (known === undefined || sortKey(one) < sortKey(known)) byId.set(id, one);
  }
  return [...byId.values()].sort((a, b) => a.event.ts - b.event.ts || compareText(sortKey(a), sortKey(b)));
}

function sortKey({ event, position }: EventEvidence): string {
  const ts = String(event.ts).padStart(16, '0');
  const offset = position === undefined ? '' : `${position.partition}/${position.offset}`;
  // The sequence keeps lines of one instant in the order in which the kernel wrote them.
  return [
    ts,
    event.bootId,
    event.sequence.toString().padStart(20, '0'),
    event.kind,
    event.message,
    event.gpuUuid,
    event.gpuInstance,
    String(event.code),
    canonicalJson(event.detail),
    offset,
  ].join('\u0000');
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function eventMatches(condition: EventCondition, event: GpuEvent): boolean {
  if (condition.event !== event.kind) return false;
  if (condition.codes !== undefined && !condition.codes.includes(event.code)) return false;
  return condition.message === undefined || new RegExp(condition.message).test(event.message);
}

/** Finds the fault of an event; undefined when the policy ignores it or knows no fault of its kind. */
function createFaultFinder(policy: FaultPolicy): (event: GpuEvent) => Fault | undefined {
  return (event) => {
    if (policy.ignored.some((condition) => eventMatches(condition, event))) return undefined;
    return policy.faults.find((fault) => 'event' in fault.when && eventMatches(fault.when, event));
  };
}

/** The symptoms that the events of one node are, in time order. */
export function symptomsOfEvents(events: readonly EventEvidence[], policy: FaultPolicy): Symptom[] {
  const findFault = createFaultFinder(policy);
  const gpuAt = gpusByBusId(events);
  return events.flatMap(({ event, position }) => {
    const fault = findFault(event);
    if (fault === undefined) return [];
    const pciBusId = busIdOf(event);
    const wholeNode = fault.scope === 'node';
    return {
      id: eventId(event),
      fault,
      node: event.node,
      gpuUuid: wholeNode ? '' : event.gpuUuid === '' ? (gpuAt.get(pciBusId) ?? '') : event.gpuUuid,
      gpuInstance: wholeNode ? '' : event.gpuInstance,
      pciBusId: wholeNode ? '' : pciBusId,
      ts: event.ts,
      until: event.ts,
      kind: event.kind,
      code: event.code,
      message: event.message,
      bootId: event.bootId,
      pool: event.pool,
      providerId: event.providerId,
      demo: event.demo,
      position,
    };
  });
}

/** Kernel lines name a GPU by its bus id; any event that carries both tells whose it is. The latest word wins. */
function gpusByBusId(events: readonly EventEvidence[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { event } of events) {
    const busId = busIdOf(event);
    if (busId !== '' && event.gpuUuid !== '') found.set(busId, event.gpuUuid);
  }
  return found;
}

/** `00000000:3B:00.0`, `0000:3b:00` and `PCI:0000:3b:00.0` are one address. '' when the event names none. */
function busIdOf(event: GpuEvent): string {
  const text = event.detail['pci_bus_id'];
  if (typeof text !== 'string') return '';
  const [, domain, bus, device] =
    /([0-9a-f]{1,8}):([0-9a-f]{2}):([0-9a-f]{2})(?:\.[0-9a-f])?$/i.exec(text) ?? [];
  if (domain === undefined || bus === undefined || device === undefined) return text.toLowerCase();
  return `${domain.slice(-4).padStart(4, '0')}:${bus}:${device}`.toLowerCase();
}
