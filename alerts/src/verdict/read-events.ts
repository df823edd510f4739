/** Events as symptoms: once each, in one order, with the GPU behind a PCI bus id found where it can be. */
import { canonicalJson } from '@poolmeter/domain';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import type { EventCondition } from '../policy/conditions.js';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import { policyOfPool } from '../policy/policy-of-pool.js';
import { eventId, type EventEvidence } from './evidence.js';
import type { Symptom } from './incident.js';
import { nvlinkResponse } from './nvlink-response.js';

/** An event that some fault of the policy fits, with that fault. */
export interface Sighting {
  readonly fault: Fault;
  readonly event: GpuEvent;
  /** '' when it is not known. */
  readonly gpuUuid: string;
}

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

export function eventMatches(condition: EventCondition, event: GpuEvent, policy: FaultPolicy): boolean {
  if (condition.event !== event.kind) return false;
  if (condition.codes !== undefined && !condition.codes.includes(event.code)) return false;
  if (condition.message !== undefined && !new RegExp(condition.message).test(event.message)) return false;
  if (condition.detail !== undefined && !hasDetail(condition.detail, event)) return false;
  return condition.nvlink === undefined || nvlinkResponse(event.message, policy) === condition.nvlink;
}

function hasDetail(wanted: NonNullable<EventCondition['detail']>, event: GpuEvent): boolean {
  return Object.entries(wanted).every(([name, values]) =>
    values.some((value) => value === event.detail[name]),
  );
}

/** The fault of an event; undefined when the policy ignores it, knows no fault of its kind, or its pool turns that off. */
function faultOf(event: GpuEvent, policy: FaultPolicy): Fault | undefined {
  if (policy.ignored.some((condition) => eventMatches(condition, event, policy))) return undefined;
  const found = policy.faults.find(
    (fault) => 'event' in fault.when && eventMatches(fault.when, event, policy),
  );
  // What a pool turns off is no fault there; it must not fall through to a later rule that takes everything.
  const here = policyOfPool(policy, event.pool);
  return here === policy ? found : here.faults.find((fault) => fault.code === found?.code);
}

/** Events with the fault that each is, in time order. `events` are all that is known, so that bus ids are resolved. */
export function sightingsOf(
  events: readonly EventEvidence[],
  policy: FaultPolicy,
): (Sighting & EventEvidence)[] {
  const gpuAt = gpusByBusId(events);
  return events.flatMap(({ event, position }) => {
    const fault = faultOf(event, policy);
    if (fault === undefined) return [];
    const gpuUuid = event.gpuUuid === '' ? gpuAt(busIdOf(event), event.ts) : event.gpuUuid;
    return { fault, event, gpuUuid, ...(position === undefined ? {} : { position }) };
  });
}

export function symptomOfSighting({ fault, event, gpuUuid, position }: Sighting & EventEvidence): Symptom {
  const wholeNode = fault.scope === 'node';
  return {
    id: eventId(event),
    fault,
    node: event.node,
    gpuUuid: wholeNode ? '' : gpuUuid,
    gpuInstance: wholeNode ? '' : event.gpuInstance,
    pciBusId: wholeNode ? '' : busIdOf(event),
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
    recoveryAction: recoveryActionOf(event),
  };
}

function recoveryActionOf(event: GpuEvent): number {
  const told = event.detail['recovery_action'];
  if (typeof told === 'number') return told;
  const [, text] = /recovery action changed from .*? to (0x[0-9a-f]+)/i.exec(event.message) ?? [];
  return text === undefined ? 0 : Number(text);
}

/**
 * Kernel lines name a GPU by its bus id; any event that carries both tells whose it is. The last word before a line counts,
 * else the first after it: a slot may get another board.
 */
function gpusByBusId(events: readonly EventEvidence[]): (busId: string, at: number) => string {
  const told = new Map<string, { readonly ts: number; readonly gpuUuid: string }[]>();
  for (const { event } of events) {
    const busId = busIdOf(event);
    if (busId !== '' && event.gpuUuid !== '') {
      const words = told.get(busId);
      if (words === undefined) told.set(busId, [event]);
      else words.push(event);
    }
  }
  return (busId, at) => {
    const words = told.get(busId) ?? [];
    return (words.findLast((one) => one.ts <= at) ?? words[0])?.gpuUuid ?? '';
  };
}

/** `00000000:3B:00.0`, `0000:3b:00` and `PCI:0000:3b:00.0` are one address. '' when the event names none. */
export function busIdOf(event: GpuEvent): string {
  const text = event.detail['pci_bus_id'];
  if (typeof text !== 'string') return '';
  const [, domain, bus, device] =
    /([0-9a-f]{1,8}):([0-9a-f]{2}):([0-9a-f]{2})(?:\.[0-9a-f])?$/i.exec(text) ?? [];
  if (domain === undefined || bus === undefined || device === undefined) return text.toLowerCase();
  return `${domain.slice(-4).padStart(4, '0')}:${bus}:${device}`.toLowerCase();
}
