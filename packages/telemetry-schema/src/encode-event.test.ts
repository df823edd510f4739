import { instantFromMs, isPoolmeterError } from '@poolmeter/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeGpuEvent, encodeGpuEvent } from './encode-event.js';
import { gpuEventKinds, type GpuEvent } from './gpu-event.js';

const xid79: GpuEvent = {
  ts: instantFromMs(1_772_361_600_250),
  bootId: 'b-1',
  sequence: 18_446_744_073_709_551_615n,
  node: 'gpu-1',
  gpuUuid: 'GPU-1',
  gpuInstance: '',
  pool: 'main',
  providerId: 'north',
  kind: 'xid',
  code: 79,
  message: "NVRM: Xid (PCI:0000:2a:00): 79, pid='<unknown>', GPU has fallen off the bus",
  detail: { pci_bus_id: '0000:2a:00' },
  demo: false,
};

function refusal(text: string): string {
  try {
    decodeGpuEvent(Buffer.from(text));
  } catch (error) {
    return isPoolmeterError(error) ? `${error.code}: ${error.message}` : String(error);
  }
  return 'accepted';
}

describe('a GPU event as JSON', () => {
  it('has the names of the gpu_events table', () => {
    expect(JSON.parse(encodeGpuEvent(xid79).toString())).toEqual({
      ts: 1_772_361_600_250,
      boot_id: 'b-1',
      sequence: '18446744073709551615',
      node: 'gpu-1',
      gpu_uuid: 'GPU-1',
      gpu_instance: '',
      pool: 'main',
      provider_id: 'north',
      kind: 'xid',
      code: 79,
      message: xid79.message,
      detail: { pci_bus_id: '0000:2a:00' },
      demo: false,
    });
  });

  it('comes back as it was', () => {
    const events = fc.record({
      ts: fc.integer({ min: 0, max: 4_102_444_800_000 }).map(instantFromMs),
      bootId: fc.string(),
      sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      node: fc.string({ minLength: 1 }),
      gpuUuid: fc.string(),
      gpuInstance: fc.string(),
      pool: fc.string(),
      providerId: fc.string(),
      kind: fc.constantFrom(...gpuEventKinds),
      code: fc.nat(),
      message: fc.string(),
      detail: fc.dictionary(
        fc.stringMatching(/^[a-z_]{1,8}$/),
        fc.oneof(fc.string(), fc.integer(), fc.boolean()),
      ),
      demo: fc.boolean(),
    });
    fc.assert(
      fc.property(events, (event) => {
        expect(decodeGpuEvent(encodeGpuEvent(event))).toEqual(event);
      }),
    );
  });

  it('carries a bigint in its detail as text', () => {
    const event = { ...xid79, detail: { bytes: 12n } };
    expect(decodeGpuEvent(encodeGpuEvent(event)).detail).toEqual({ bytes: '12' });
  });

  const json = encodeGpuEvent(xid79).toString();
  it.each([
    ['cut', json.slice(0, -2), /^wire.malformed: A GPU event is not JSON/],
    ['a list', '[]', /^wire.malformed/],
    ['without a node', json.replace('"gpu-1"', '""'), /^wire.malformed.*node/],
    ['with an unknown field', json.replace('{"ts"', '{"x":1,"ts"'), /^wire.malformed/],
    ['with a sequence over 64 bits', json.replace('18446744073709551615', '18446744073709551616'), /64 bits/],
    ['of an unknown kind', json.replace('"xid"', '"new.kind"'), /^wire.unknown_schema.*new\.kind/],
  ])('%s: refused', (_case, text, expected) => {
    expect(refusal(text)).toMatch(expected);
  });
});
