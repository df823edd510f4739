import { formatGpuHours, fraction } from '@poolmeter/domain';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { defaultPolicyFile, loadFaultPolicy, parseFaultPolicy } from '../policy/load-policy.js';
import { at, evidenceOf, GPU, happens, lease, seenDuring, xid } from '../verdict/evidence-in-words.js';
import { comparePolicies, type SharedLease } from './compare-policies.js';

const shipped = loadFaultPolicy(defaultPolicyFile);
const changed = parseFaultPolicy(
  `${readFileSync(defaultPolicyFile, 'utf8').replace("version: '2026-11-21'", "version: 'next'")}
pools:
  - { match: ['*'], faults: [{ code: xid-94, billing_class: B }, { code: xid-31, off: true }] }
`,
  'next.yaml',
);

describe('another policy over the same month', () => {
  const leases: SharedLease[] = [
    { ...lease('whole', '09:00', '10:30'), share: fraction(1n) },
    { ...lease('after', '10:30', '14:00'), share: fraction(1n, 2n) },
  ];
  const evidence = evidenceOf({
    asOf: at('23:00'),
    events: [
      xid('10:00', 94),
      xid('10:20', 95),
      happens('12:00', { kind: 'counter.reset' }),
      xid('15:00', 31),
    ],
    telemetry: [seenDuring(GPU, [['00:00', '23:00']])],
    leases,
  });
  const result = comparePolicies({ policy: shipped, evidence }, { policy: changed, evidence }, leases);

  it('says which incidents would be more or fewer', () => {
    expect(result.added).toEqual([]);
    expect(result.removed.map((one) => one.code)).toEqual(['xid-31']);
    expect([result.before.version, result.after.version]).toEqual([shipped.version, 'next']);
  });

  it('says what would be credited: five minutes of Xid 94 less', () => {
    // Xid 94 from 10:00 to 10:05 and Xid 95 from 10:20 to 12:05: 5 + 10 minutes of the whole lease, 95 of the half.
    expect(formatGpuHours(result.before.gpuTime.C)).toBe('1.041666667');
    expect(formatGpuHours(result.after.gpuTime.C)).toBe('0.958333333');
    expect(formatGpuHours(result.after.gpuTime.B)).toBe('0.083333333');
  });

  it('says how early the loss of a job was known', () => {
    expect(result.before.leadTimesMs).toEqual([600_000]);
  });
});
