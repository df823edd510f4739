/** The policy held against NVIDIA's catalogue: every number has an answer, and where ours differs it is said why. */
import { existsSync, readFileSync } from 'node:fs';
import { instantFromMs } from '@poolmeter/domain';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import { describe, expect, it } from 'vitest';
import { sightingsOf } from '../verdict/read-events.js';
import { nvlinkResponse } from '../verdict/nvlink-response.js';
import { defaultPolicyFile, loadFaultPolicy } from './load-policy.js';

const reference = new URL('../../../../shared/data/reference/', import.meta.url);
const absent = !existsSync(reference);
if (absent) console.log(`Skipped: the reference tables are not at ${reference.pathname}.`);

const policy = loadFaultPolicy(defaultPolicyFile);
const rows = (name: string) =>
  absent
    ? []
    : readFileSync(new URL(name, reference), 'utf8')
        .split('\n')
        .slice(1)
        .filter((line) => line !== '')
        .map((line) => line.split('\t'));

function faultOf(code: number, message = ''): string {
  const event: GpuEvent = {
    ts: instantFromMs(0),
    bootId: 'boot-1',
    sequence: 1n,
    node: 'gpu-01',
    gpuUuid: 'GPU-a',
    gpuInstance: '',
    pool: 'main',
    providerId: 'north',
    kind: 'xid',
    code,
    message,
    detail: {},
    demo: false,
  };
  return sightingsOf([{ event }], policy)[0]?.fault.code ?? 'ignored';
}

/** Ours for the catalogue's immediate action, where nothing below says otherwise. */
const usual: Readonly<Record<string, readonly string[]>> = {
  RESTART_APP: ['restart_app'],
  RESET_GPU: ['reset'],
  RESTART_BM: ['reboot'],
  IGNORE: ['none', 'notify'],
  CONTACT_SUPPORT: ['inspect'],
  CHECK_MECHANICALS: ['inspect'],
  RESTART_VM: ['restart_app'],
  '': ['none'],
};

/** Numbers with a rule of their own, and why. */
const others: Readonly<Record<number, string>> = {
  43: 'xid-43', // Ignored by the catalogue; the program has to be restarted all the same.
  45: 'xid-45', // Alone: Fabric Manager; else it follows its cause.
  48: 'xid-48', // Reset; with 63 or 64 after a drain.
  63: 'xid-63', // Ignored by the catalogue until the next reset, which we ask for at a drain.
  64: 'xid-64', // Reset, but the board is to be returned.
  74: 'xid-74', // NVLink before Blackwell: by registers; a reset in the end.
  78: 'xid-noted', // vGPU and driver do not fit: no fault of the GPU.
  137: 'xid-application', // An illegal access of a program on a peer.
  141: 'xid-application', // Ignored by the catalogue; the program met it.
  142: 'xid-application', // A video engine, as its neighbours.
  154: 'xid-154', // The driver's own verdict.
  159: 'xid-noted', // A reset only where unified memory is in use.
  167: 'xid-158', // No action given; a PCIe link that timed out.
  169: 'xid-62', // No action given; a micro-controller that halted.
  171: 'xid-171', // No action given; says more about 48.
  172: 'xid-171',
};

describe.skipIf(absent)('every Xid of the catalogue', () => {
  const catalogue = rows('xid-catalog.tsv').map((row) => ({ code: Number(row[1]), bucket: row[8] ?? '' }));
  const single = catalogue.filter(({ code }) => code < 144 || code > 150);

  it('is read', () => {
    expect(catalogue).toHaveLength(172);
  });

  it('has the catalogue’s immediate action, or a rule of its own', () => {
    const wrong = single.flatMap(({ code, bucket }) => {
      const found = faultOf(code);
      if (others[code] !== undefined) return found === others[code] ? [] : [`${code}: ${found}`];
      const action = policy.faults.find((one) => one.code === found)?.action ?? 'none';
      return usual[bucket]?.includes(action) === true ? [] : [`${code} (${bucket}): ${found} says ${action}`];
    });
    expect(wrong).toEqual([]);
  });
});

/** The catalogue's words for what a decoded line asks for. */
const responses: Readonly<Record<string, string>> = {
  RESET_GPU: 'reset',
  IGNORE: 'none',
  XID_154_EVAL: 'follow_driver',
};

describe.skipIf(absent)('every line of the table for Xid 144 to 150', () => {
  const decode = rows('xid-144-150-decode.tsv').flatMap((row) => {
    const [, units = '', oldMask = '', newMask = '', status = '', bucket = '', , , , , severity = ''] = row;
    return units.split('/').map((unit, index) => {
      const mask = index === 0 ? oldMask : newMask;
      const first = Number.parseInt(mask.replaceAll('-', '0'), 2);
      const [firstStatus = ''] = status.split('/');
      return { unit: unit.split(' ')[0] ?? '', first, status: Number(firstStatus || 0), bucket, severity };
    });
  });

  it('asks for what the table says, before and since driver R575', () => {
    expect(decode.length).toBeGreaterThan(120);
    const wrong = decode.flatMap(({ unit, first, status, bucket, severity }) => {
      const word = severity.startsWith('Non-fatal') ? 'Nonfatal' : 'Fatal';
      const hex = (value: number) => `0x${value.toString(16).padStart(8, '0')}`;
      const line = `NVRM: Xid (PCI:0008:01:00): 149, ${unit} ${word} XC0 i0 Link 00 (${hex(first)} ${hex(status)} 0x0)`;
      const found = nvlinkResponse(line, policy);
      return found === responses[bucket] ? [] : [`${line}: ${found}, not ${bucket}`];
    });
    expect(wrong).toEqual([]);
  });
});

describe('the decoding of NVLink 5 lines', () => {
  const line = (rest: string) => `NVRM: Xid (PCI:0008:01:00): 145, ${rest}`;

  it.each([
    ['the line itself says Fatal', 'RLW_RXPIPE Fatal XC0 i0 Link 3 (0x00000086 0x00000001)', 'reset'],
    ['a corrected error', 'RLW_RXPIPE Nonfatal XC0 i0 Link 3 (0x00000006 0x00000001)', 'none'],
    ['two bits, the graver one counts', 'RLW_REMAP Nonfatal XC0 i0 Link 3 (0x00000004 0x00000041)', 'reset'],
    [
      'a unit that the table does not know',
      'NEW_UNIT Nonfatal XC0 i0 Link 3 (0x00000004 0x00000041)',
      'none',
    ],
    ['a unit that the table does not know, fatal', 'NEW_UNIT Fatal XC0 i0 Link 3', 'reset'],
    ['a line that was cut', 'NETIR Fatal XC0 i0 Link -1 (0x000fe406', 'reset'],
    ['no NVLink line at all', 'pid=1, name=x', 'none'],
  ])('%s', (_name, rest, expected) => {
    expect(nvlinkResponse(line(rest), policy)).toBe(expected);
  });
});
