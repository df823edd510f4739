import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseKernelLine } from './kernel-line.js';

const nowMs = Date.parse('2026-03-02T00:00:00Z');
const text = 'NVRM: Xid (PCI:0000:2a:00): 79, GPU has fallen off the bus.';
const parse = (line: string) => parseKernelLine(line, { nowMs });
const wall = (iso: string, zoned = true) => ({ kind: 'wall', ms: Date.parse(iso), zoned });

describe('the forms of a kernel line', () => {
  it.each<[string, string, object]>([
    ['/dev/kmsg', `6,3964,206764307,-;${text}`, { kind: 'boot', microseconds: 206_764_307n }],
    ['dmesg', `[  123.456789] ${text}`, { kind: 'boot', microseconds: 123_456_789n }],
    ['dmesg with a level', `kern  :err   : [ 123.45] ${text}`, { kind: 'boot', microseconds: 123_450_000n }],
    ['console with a level', `<3>[ 123.456789] ${text}`, { kind: 'boot', microseconds: 123_456_789n }],
    [
      'dmesg, ISO',
      `kern  :warn  : 2026-03-01T10:40:00,250900+00:00 ${text}`,
      wall('2026-03-01T10:40:00.250Z'),
    ],
    ['ISO with an offset', `2026-03-01T11:40:00.25+01:00 ${text}`, wall('2026-03-01T10:40:00.250Z')],
    ['journal, short-iso', `2026-03-01T11:40:00+0100 gpu-1 kernel: ${text}`, wall('2026-03-01T10:40:00Z')],
    ['syslog, RFC 3339', `2026-03-01T10:40:00.250Z gpu-1 kernel: ${text}`, wall('2026-03-01T10:40:00.250Z')],
    ['syslog', `Mar  1 10:40:00 gpu-1 kernel: ${text}`, wall('2026-03-01T10:40:00', false)],
    ['syslog of last year', `Dec 31 23:59:59 gpu-1 kernel: ${text}`, wall('2025-12-31T23:59:59', false)],
    ['dmesg -T', `[Sun Mar  1 10:40:00 2026] ${text}`, wall('2026-03-01T10:40:00', false)],
    ['Fabric Manager', `[Mar 01 2026 10:40:00] ${text}`, wall('2026-03-01T10:40:00', false)],
    ['nothing but the text', text, { kind: 'none' }],
  ])('%s', (_form, line, stamp) => {
    expect(parse(line)).toMatchObject({ stamp, text });
  });

  it('kmsg gives the kernel’s own number', () => {
    expect(parse(`6,3964,206764307,-;${text}`).sequence).toBe(3964n);
  });

  it('a journal entry names its boot', () => {
    const entry = {
      MESSAGE: text,
      _BOOT_ID: 'e6d3',
      __REALTIME_TIMESTAMP: '1772361600250999',
      SYSLOG_IDENTIFIER: 'kernel',
    };
    expect(parse(JSON.stringify(entry))).toMatchObject({
      stamp: { kind: 'wall', ms: 1_772_361_600_250, zoned: true },
      bootId: 'e6d3',
      text,
    });
  });

  it('the kernel’s stamp inside a syslog line tells equal lines of one second apart', () => {
    const [first, second] = ['123.000001', '123.000002'].map((inner) =>
      parse(`Mar  1 10:40:00 gpu-1 kernel: [  ${inner}] ${text}`),
    );
    expect(first?.text).toBe(text);
    expect(first?.stampText).not.toBe(second?.stampText);
  });

  it.each(['{"broken', '2026-13-45T10:40:00Z x', '[Foo Bar 99 10:00:00 2026] x', ',,;x', ''])(
    'what only looks like a form is text: %s',
    (line) => {
      expect(parse(line)).toMatchObject({ stamp: { kind: 'none' }, text: line });
    },
  );

  it('no line at all makes it throw', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (line) => {
        expect(() => parse(line)).not.toThrow();
      }),
    );
  });
});
