/** From the line that a real driver wrote to what is said about the GPU: collector and fault monitor together. */
import { existsSync, readFileSync } from 'node:fs';
import {
  defaultPolicyFile,
  loadFaultPolicy,
  verdicts,
  type FaultIncident,
  type GpuTelemetry,
} from '@poolmeter/alerts';
import { KernelLogEvents } from '@poolmeter/collector';
import { instantFromMs, interval, parseInstant } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';

const captures = new URL('../../../shared/data/kernel-log/', import.meta.url);
const absent = !existsSync(captures);
if (absent) console.log(`Skipped: the captured kernel logs are not at ${captures.pathname}.`);

const policy = loadFaultPolicy(defaultPolicyFile);
const asOf = parseInstant('2026-03-02T12:00:00Z');

const read = (name: string) =>
  readFileSync(new URL(name, captures), 'utf8')
    .split('\n')
    .filter((line) => line !== '');
const table = (name: string) =>
  read(name)
    .slice(1)
    .map((line) => line.split('\t')[1] ?? '');

function judge(lines: readonly string[], telemetry: readonly GpuTelemetry[] = []): FaultIncident[] {
  const log = new KernelLogEvents({
    node: 'gpu-1',
    pool: 'main',
    providerId: 'north',
    findGpu: (address) => `GPU at ${address}`,
    nameInstance: (_gpuUuid, instanceId) => `${instanceId}/0`,
  });
  const events = log.eventsFrom(lines, asOf - 60_000).map((event) => ({ event }));
  return verdicts({ asOf, events, history: [], telemetry, signals: [], leases: [], resolutions: [] }, policy);
}

const alone = (line: string) =>
  judge([line])
    .map((one) => `${one.code} ${one.severity} ${one.action}`)
    .join('; ');

const APPLICATION = 'xid-13 warn restart_app';
const FALLEN = 'xid-79 fatal reboot';
const GSP = 'xid-119 fatal reset';
const LINK_RESET = 'nvlink-reset fatal reset';
const LINK_UNDECIDED = 'nvlink-undecided critical restart_app';
const LINK_NOTED = 'nvlink-noted info none';

/** Read by hand, line by line, in the order of the file. NVLink lines by NVIDIA's table for Xid 144 to 150. */
const xidLines = [
  'gpu-fallen-off-bus fatal reboot',
  ...Array.from({ length: 14 }, () => APPLICATION),
  'xid-31 warn restart_app',
  'xid-31 warn restart_app',
  'xid-43 info restart_app',
  'xid-43 info restart_app',
  'xid-48 fatal reset',
  'xid-63 warn reset',
  'xid-application info restart_app',
  'xid-74 critical reset',
  FALLEN,
  FALLEN,
  FALLEN,
  'xid-94 critical restart_app',
  ...Array.from({ length: 8 }, () => GSP),
  // 144 SAW_MVB, status 8: ignore.
  LINK_NOTED,
  // 145: RLW_REMAP without words; with status 0x40 (reset, although the line says Nonfatal); RLW_SRC_TRACK without words.
  LINK_NOTED,
  LINK_RESET,
  LINK_NOTED,
  // RLW_SRC_TRACK with status 8, twice: as Xid 154 says.
  LINK_UNDECIDED,
  LINK_UNDECIDED,
  // RLW_REMAP with status 1: as Xid 154 says. RLW_SRC_TRACK, Fatal, status 1: reset.
  LINK_UNDECIDED,
  LINK_RESET,
  LINK_UNDECIDED,
  LINK_UNDECIDED,
  LINK_RESET,
  LINK_RESET,
  // 149: the first link went down for reason 0x26, which asks for nothing, whatever "Fatal" says.
  LINK_NOTED,
  LINK_RESET,
  LINK_RESET,
  LINK_RESET,
  // A bit error rate is no reason for a reset.
  LINK_NOTED,
  LINK_RESET,
  LINK_RESET,
  LINK_RESET,
  LINK_RESET,
  LINK_RESET,
  // 154: the driver's own verdict, 0x1, 0x4, 0x1, 0x1.
  'xid-154 fatal reset',
  'xid-154 fatal drain_and_reset',
  'xid-154 fatal reset',
  'xid-154 fatal reset',
];

const FATAL_SWITCH = 'sxid-fatal fatal reset';
const SURVIVED = 'sxid-nonfatal warn inspect';
const DETAIL = 'sxid-detail info none';
const UNCLEAR = 'sxid critical inspect';

const sxidLines = [
  ...[
    SURVIVED,
    FATAL_SWITCH,
    DETAIL,
    FATAL_SWITCH,
    FATAL_SWITCH,
    DETAIL,
    DETAIL,
    FATAL_SWITCH,
    FATAL_SWITCH,
    DETAIL,
  ],
  ...[DETAIL, FATAL_SWITCH, SURVIVED, SURVIVED, SURVIVED, SURVIVED, SURVIVED, FATAL_SWITCH, DETAIL, SURVIVED],
  ...[UNCLEAR, UNCLEAR, UNCLEAR, UNCLEAR],
];

describe.skipIf(absent)('kernel logs of real machines', () => {
  it('xid-lines.tsv: each line by itself', () => {
    expect(table('xid-lines.tsv').map(alone)).toEqual(xidLines);
  });

  it('sxid-lines.tsv: each line by itself', () => {
    expect(table('sxid-lines.tsv').map(alone)).toEqual(sxidLines);
  });

  it('gpud-fabricmanager.log: one switch error that was survived', () => {
    expect(judge(read('gpud-fabricmanager.log')).map((one) => one.code)).toEqual(['sxid-nonfatal']);
  });

  it.each(['gpud-kmsg.1.log', 'gpud-nccl-segfault.dmesg.iso.log'])('%s: nothing about a GPU', (name) => {
    expect(judge(read(name))).toEqual([]);
  });

  it('a burst of Xid 13 and its Xid 43, as one machine wrote them, is one incident of the program', () => {
    const burst = table('xid-lines.tsv').filter((line) => line.startsWith('2025-01-21T04:41:44'));
    const [incident, ...others] = judge(burst);
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ code: 'xid-13', gpuUuid: 'GPU at 00000000:38:00' });
    expect(incident?.evidence).toHaveLength(11);
  });

  it('Xid 79 and the line without a number, four microseconds later, are one incident', () => {
    const pair = table('xid-lines.tsv').filter((line) => line.includes('[6781741.'));
    expect(judge(pair).map((one) => `${one.code} x${one.evidence.length}`)).toEqual(['xid-79 x2']);
  });

  it('three links of one GPU and the driver’s verdict are one incident, and the verdict decides the action', () => {
    const lines = table('xid-lines.tsv').filter(
      (line) => line.includes('PCI:0009:01:00') && line.includes('[17116'),
    );
    const [incident, ...others] = judge(lines);
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ code: 'nvlink-reset', action: 'drain_and_reset' });
    expect(incident?.evidence).toHaveLength(4);
  });

  it('a fatal switch error with its lines of data and severity is one incident of the node', () => {
    const lines = table('sxid-lines.tsv').filter((line) => line.startsWith('[6781753.'));
    const [incident, ...others] = judge(lines);
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ code: 'sxid-fatal', gpuUuid: '', node: 'gpu-1' });
    expect(incident?.evidence).toHaveLength(8);
  });

  it('a 119 after which every series of the node is blank: one GPU at fault, all of them unknown, none healthy', () => {
    const line = table('xid-lines.tsv').find(
      (one) => one.includes('Azure') || one.includes('name=nvidia-smi'),
    );
    const at = (minutesAgo: number) => instantFromMs(asOf - minutesAgo * 60_000);
    const seen = (gpuUuid: string): GpuTelemetry => {
      const facts = { node: 'gpu-1', pool: 'main', providerId: 'north', demo: false, unwell: [] };
      return { ...facts, gpuUuid, seen: [interval(at(120), at(30))] };
    };
    const stamped = `2026-03-02T11:30:05.000+00:00 ${(line ?? '').replace(/^\[[^\]]*\] /, '')}`;
    const incidents = judge([stamped], [seen('GPU at 00000002:00:00'), seen('GPU-other')]);
    expect(
      incidents.map((one) => `${one.code} ${one.state} ${one.fault.health} ${one.fault.billing_class}`),
    ).toEqual(['node-silent open unknown B', 'xid-119 open faulty C']);
    expect(incidents[1]?.verdicts.map((one) => one.gpuUuid)).toEqual(['GPU at 00000002:00:00']);
  });
});
