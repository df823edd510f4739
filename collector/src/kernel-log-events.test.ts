import { existsSync, readFileSync } from 'node:fs';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelLogEvents, type KernelLogOptions } from './kernel-log-events.js';

const writtenByMs = Date.parse('2026-03-02T00:00:00Z');

/** The address of one known GPU, in the normal form. */
const gpus: Readonly<Record<string, string>> = { '00000000:2a:00': 'GPU-2a', '00000000:38:00': 'GPU-38' };

function logOf(options: Partial<KernelLogOptions> = {}): KernelLogEvents {
  return new KernelLogEvents({
    node: 'gpu-1',
    pool: 'main',
    providerId: 'north',
    findGpu: (pciBusId) => gpus[pciBusId],
    nameInstance: (_gpuUuid, instanceId) => `${instanceId}/2`,
    ...options,
  });
}

const eventsOf = (lines: readonly string[]) => logOf().eventsFrom(lines, writtenByMs);
const identity = (event: GpuEvent) => `${event.node}/${event.bootId}/${event.kind}/${event.sequence}`;

describe('what the driver says', () => {
  it.each<[string, string, Partial<GpuEvent>]>([
    [
      'Xid 79',
      "NVRM: Xid (PCI:0000:2a:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus",
      {
        kind: 'xid',
        code: 79,
        gpuUuid: 'GPU-2a',
        detail: { text: 'GPU has fallen off the bus', pci_bus_id: '00000000:2a:00' },
      },
    ],
    [
      'an address with a function',
      'NVRM: Xid (PCI:0000:b3:00.0): 79, GPU has fallen off the bus and is not responding to commands.',
      { kind: 'xid', code: 79, gpuUuid: '', detail: { pci_bus_id: '00000000:b3:00' } },
    ],
    [
      'Xid 13 with its place on the chip',
      "NVRM: Xid (PCI:0000:38:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on (GPC 9, TPC 1, SM 1): Out Of Range Address",
      { kind: 'xid', code: 13, gpuUuid: 'GPU-38', detail: { gpc: 9, tpc: 1, sm: 1 } },
    ],
    [
      'Xid 43 with the process',
      'NVRM: Xid (PCI:0000:38:00): 43, pid=2924364, name=pt_main_thread, Ch 00000008',
      {
        kind: 'xid',
        code: 43,
        detail: { pid: 2_924_364, process_name: 'pt_main_thread', text: 'Ch 00000008' },
      },
    ],
    [
      'Xid 119 without a text',
      'NVRM: Xid (PCI:0002:00:00): 119, pid=1582259, name=nvc:[driver]',
      {
        kind: 'xid',
        code: 119,
        detail: { pid: 1_582_259, process_name: 'nvc:[driver]', pci_bus_id: '00000002:00:00' },
      },
    ],
    [
      'Xid 145 on NVLink',
      'NVRM: Xid (PCI:0018:01:00): 145, pid=922932, name=acctg, RLW_SRC_TRACK Nonfatal XC1 i0 Link 03 (0x040868e2 0x00000008)',
      {
        code: 145,
        detail: { unit: 'RLW_SRC_TRACK', severity: 'non-fatal', link: 3, interrupt_info: '0x040868e2' },
      },
    ],
    [
      'Xid 149 without a link',
      'NVRM: Xid (PCI:0008:01:00): 149, NETIR Fatal XC0 i0 Link -1 (0x000fe406 0x00000000)',
      { code: 149, detail: { unit: 'NETIR', severity: 'fatal', link: -1 } },
    ],
    [
      'Xid 154: the driver’s own verdict',
      'NVRM: Xid (PCI:0009:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)',
      {
        code: 154,
        detail: { recovery_action_before: 0, recovery_action: 4, recovery_action_text: 'Drain and Reset' },
      },
    ],
    [
      'an Xid of a MIG instance',
      'NVRM: Xid (PCI:0000:2a:00 GPU-I:05): 31, pid=1, name=a, MMU Fault',
      { code: 31, gpuUuid: 'GPU-2a', gpuInstance: '5/2' },
    ],
    [
      'the oldest Xid form',
      'NVRM: Xid (0000:2a:00): 8, Channel 00000001',
      { code: 8, gpuUuid: 'GPU-2a', detail: { text: 'Channel 00000001' } },
    ],
    [
      'off the bus without an Xid',
      'NVRM: GPU 0000:2a:00.0: GPU has fallen off the bus.',
      { kind: 'gpu.fallen_off_bus', code: 0, gpuUuid: 'GPU-2a' },
    ],
    [
      'SXid headline',
      'nvidia-nvswitch2: SXid (PCI:0000:85:00.0): 12028, Non-fatal, Link 61 egress non-posted PRIV error (First)',
      {
        kind: 'sxid',
        code: 12_028,
        gpuUuid: '',
        detail: { nvswitch: 2, severity: 'non-fatal', link: 61, part: 'headline' },
      },
    ],
    [
      'SXid data',
      'nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Data {0x50610002, 0x10100030}',
      { kind: 'sxid', code: 20_034, detail: { part: 'data' } },
    ],
    [
      'a switch whose address is that of a GPU elsewhere',
      'nvidia-nvswitch0: SXid (PCI:0000:2a:00.0): 20034, Fatal, Link 30 LTSSM Fault Up',
      { kind: 'sxid', gpuUuid: '', detail: { severity: 'fatal' } },
    ],
    [
      'Fabric Manager',
      '[ERROR] [tid 12727] detected NVSwitch non-fatal error 12028 on fid 0 on NVSwitch pci bus id 00000000:86:00.0 physical id 3 port 61',
      {
        kind: 'sxid',
        code: 12_028,
        detail: { source: 'fabric-manager', severity: 'non-fatal', nvswitch: 3, link: 61 },
      },
    ],
    [
      'the driver was loaded',
      'NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.105.08  Release Build',
      { kind: 'driver.restarted', detail: { driver_version: '580.105.08' } },
    ],
  ])('%s', (_case, line, expected) => {
    expect(eventsOf([line])).toMatchObject([
      { node: 'gpu-1', pool: 'main', providerId: 'north', message: line, ...expected },
    ]);
  });

  it.each([
    'usb 1-1: new high-speed USB device',
    'nvidia-nvswitch3: open (major=510)',
    'pt_main_thread[2536443]: segfault at 7f797fe00000 ip 00007f7c7ac69996 in libnccl.so.2',
    'NVRM: GPU 0000:2a:00.0: RmInitAdapter succeeded',
  ])('is no event: %s', (line) => {
    expect(eventsOf([line])).toEqual([]);
  });

  it('which GPU sits at an address counts for later lines', () => {
    const known = new Map<string, string>();
    const log = logOf({
      findGpu: (pciBusId) => known.get(pciBusId),
      noteGpu: (pciBusId, gpuUuid) => known.set(pciBusId, gpuUuid),
    });
    const uuid = 'GPU-6d5c0ac5-74d7-3130-46f1-e93ed57f469a';
    const events = log.eventsFrom(
      [`NVRM: GPU at PCI:0000:65:00: ${uuid}`, 'NVRM: Xid (PCI:0000:65:00): 48, DBE'],
      writtenByMs,
    );
    expect(events).toMatchObject([{ code: 48, gpuUuid: uuid }]);
  });
});

describe('when it was', () => {
  const xid = 'NVRM: Xid (PCI:0000:2a:00): 79, x';

  it('is the line’s own wall time to the millisecond', () => {
    const [event] = eventsOf([`2026-03-01T10:40:00.250000+00:00 gpu-1 kernel: ${xid}`]);
    expect(event?.ts).toBe(Date.parse('2026-03-01T10:40:00.250Z'));
    expect(event?.detail['time_source']).toBe('line');
  });

  it('is counted back from the last line for stamps since boot', () => {
    const events = eventsOf([
      `[  100.000000] ${xid}`,
      '[  160.500000] something else',
      `[  163.000000] ${xid}`,
    ]);
    expect(events.map((one) => writtenByMs - one.ts)).toEqual([63_000, 0]);
    expect(events[0]?.detail['time_source']).toBe('since boot, estimated');
  });

  it('keeps the earliest estimate of the boot: later lines are read late, never early', () => {
    const log = logOf();
    log.eventsFrom([`[  100.000000] ${xid}`], writtenByMs);
    const [late] = log.eventsFrom([`[  200.000000] ${xid}`], writtenByMs + 104_000);
    expect(late?.ts).toBe(writtenByMs + 100_000);
  });

  it('begins anew with each boot', () => {
    const events = eventsOf([
      `[  900.000000] ${xid}`,
      '[    0.000000] Linux version 6.1',
      `[   20.000000] ${xid}`,
    ]);
    expect(events.map((one) => one.bootId)).toEqual(['boot-0', 'boot-1']);
    expect(events.map((one) => writtenByMs - one.ts)).toEqual([20_000, 0]);
  });

  it('is the arrival for a line without a stamp', () => {
    expect(eventsOf([xid])).toMatchObject([{ ts: writtenByMs, detail: { time_source: 'arrival' } }]);
  });
});

describe('identity', () => {
  const line = fc.record({
    second: fc.integer({ min: 0, max: 5 }),
    code: fc.constantFrom(13, 31, 79),
  });
  const form = fc.constantFrom('kmsg', 'dmesg', 'iso', 'syslog', 'bare');
  const logs = fc.tuple(form, fc.array(line, { maxLength: 30 })).map(([form, lines]) => {
    let sequence = 0;
    return [...lines]
      .sort((a, b) => a.second - b.second)
      .map(({ second, code }) => {
        const text = `NVRM: Xid (PCI:0000:2a:00): ${code}, pid=1`;
        sequence += 1;
        if (form === 'kmsg') return `4,${sequence},${second}000000,-;${text}`;
        if (form === 'dmesg') return `[    ${second}.000000] ${text}`;
        if (form === 'iso') return `2026-03-01T10:40:0${second}.000000Z ${text}`;
        return form === 'syslog' ? `Mar  1 10:40:0${second} gpu-1 kernel: ${text}` : text;
      });
  });

  it('is the same when a log is read again, in one piece or in any pieces', () => {
    fc.assert(
      fc.property(logs, fc.array(fc.nat({ max: 30 })), (lines, cuts) => {
        const once = eventsOf(lines).map(identity);
        const edges = [0, ...cuts.filter((cut) => cut < lines.length).sort((a, b) => a - b), lines.length];
        let state = logOf().state();
        const pieces = edges.slice(1).flatMap((end, index) => {
          // Each piece is read by another process that knows only what was remembered.
          const log = logOf({ state: JSON.parse(JSON.stringify(state)) as typeof state });
          const events = log.eventsFrom(lines.slice(edges[index], end), writtenByMs);
          state = log.state();
          return events;
        });
        expect(pieces.map(identity)).toEqual(once);
      }),
    );
  });

  it('differs for every line of a log', () => {
    fc.assert(
      fc.property(logs, (lines) => {
        const all = eventsOf(lines).map(identity);
        expect(new Set(all).size).toBe(all.length);
      }),
    );
  });

  it('is the kernel’s own for kmsg', () => {
    expect(eventsOf(['4,812,900000000,-;NVRM: Xid (PCI:0000:2a:00): 79, x'])).toMatchObject([
      { bootId: 'boot-0', sequence: 812n },
    ]);
    const known = logOf({ bootId: 'e6d3' }).eventsFrom(
      ['4,812,900,-;NVRM: Xid (PCI:0000:2a:00): 79, x'],
      writtenByMs,
    );
    expect(known[0]?.bootId).toBe('e6d3');
  });
});

/** Real lines, kept beside the repository; see their README for sources and licences. */
const captures = new URL('../../../shared/data/kernel-log/', import.meta.url);
const absent = !existsSync(captures);
if (absent) console.log(`Skipped: the captured kernel logs are not at ${captures.pathname}.`);

const read = (name: string) => readFileSync(new URL(name, captures), 'utf8').split('\n');
/** `source<tab>line` tables; the first line is a header. */
const table = (name: string) =>
  read(name)
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(line.indexOf('\t') + 1));

const countBy = (events: readonly GpuEvent[], key: (event: GpuEvent) => string | number) =>
  events.reduce<Record<string, number>>((counts, event) => {
    const name = key(event);
    return { ...counts, [name]: (counts[name] ?? 0) + 1 };
  }, {});

describe.skipIf(absent)('captured kernel logs', () => {
  it('Xid lines: every one is an event', () => {
    const lines = table('xid-lines.tsv');
    const events = eventsOf(lines);
    expect(events).toHaveLength(lines.length);
    expect(countBy(events, (one) => one.kind)).toEqual({ xid: 60, 'gpu.fallen_off_bus': 1 });
    expect(countBy(events, (one) => one.code)).toEqual({
      0: 1,
      13: 14,
      31: 2,
      43: 2,
      48: 1,
      63: 1,
      69: 1,
      74: 1,
      79: 3,
      94: 1,
      119: 8,
      144: 1,
      145: 11,
      149: 10,
      154: 4,
    });
    expect(events.filter((one) => one.code === 154).map((one) => one.detail['recovery_action'])).toEqual([
      1, 4, 1, 1,
    ]);
    expect(
      events.every((one) => /^[0-9a-f]{8}:[0-9a-f]{2}:[0-9a-f]{2}$/.test(String(one.detail['pci_bus_id']))),
    ).toBe(true);
    expect(new Set(events.map(identity)).size).toBe(events.length);
    const iso = events.find((one) => one.message.startsWith('2025-01-21T04:41:44,283390+00:00'));
    expect(iso?.ts).toBe(Date.parse('2025-01-21T04:41:44.283Z'));
  });

  it('SXid lines: every one is an event of a switch', () => {
    const lines = table('sxid-lines.tsv');
    const events = eventsOf(lines);
    expect(events).toHaveLength(lines.length);
    expect(countBy(events, (one) => one.kind)).toEqual({ sxid: 24 });
    expect(countBy(events, (one) => String(one.detail['severity']))).toEqual({
      fatal: 7,
      'non-fatal': 7,
      undefined: 10,
    });
    expect(countBy(events, (one) => one.code)).toMatchObject({ 12_028: 5, 20_034: 11, 26_006: 2 });
  });

  it('Fabric Manager: one fault among its chatter', () => {
    expect(eventsOf(read('gpud-fabricmanager.log'))).toMatchObject([
      {
        kind: 'sxid',
        code: 12_028,
        ts: new Date(2025, 1, 27, 15, 10, 2).getTime(),
        detail: {
          severity: 'non-fatal',
          link: 61,
          pci_bus_id: '00000000:86:00',
          time_source: 'line without zone',
        },
      },
    ]);
  });

  it.each(['gpud-kmsg.1.log', 'gpud-nccl-segfault.dmesg.iso.log'])('%s: nothing about a GPU', (name) => {
    expect(eventsOf(read(name))).toEqual([]);
  });
});
