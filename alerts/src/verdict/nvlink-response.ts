/**
 * What an NVLink 5 line (Xid 144 to 150) asks for. The line gives the unit, its own word on severity, a link, and in
 * parentheses a first word and an error status; the policy's table says what these mean.
 *
 * The first word holds a number of the unit (bits 5 to 9 before driver R575, bits 0 to 6 since) and, in bits 20 to 25, why
 * a link went down. The unit is read from the text, so that the driver's version does not matter.
 */
import type { FaultPolicy, NvlinkRule } from '../policy/fault-policy.js';

export interface NvlinkLine {
  readonly unit: string;
  readonly fatal: boolean;
  /** Why a link went down; 0 where nothing is told. */
  readonly reason: number;
  /** Undefined where the line was cut, or names none. */
  readonly errorStatus: number | undefined;
}

export type NvlinkResponse = 'reset' | 'follow_driver' | 'none';

const LINE =
  /\b([A-Z][A-Z0-9_]+) +(Fatal|Nonfatal) +XC\d+ i\d+(?: Link -?\d+)?(?: \((0x[0-9a-f]+)(?: (0x[0-9a-f]+))?)?/i;

/** Undefined for a line that is no NVLink 5 line. */
export function readNvlinkLine(message: string): NvlinkLine | undefined {
  const [, unit, severity, first, status] = LINE.exec(message) ?? [];
  if (unit === undefined || severity === undefined) return undefined;
  return {
    unit,
    fatal: severity.toLowerCase() === 'fatal',
    reason: first === undefined ? 0 : (Number(first) >>> 20) & 0x3f,
    errorStatus: status === undefined ? undefined : Number(status),
  };
}

export function nvlinkResponse(message: string, policy: FaultPolicy): NvlinkResponse {
  const line = readNvlinkLine(message);
  if (line === undefined) return 'none';
  const rule = policy.nvlink.find((one) => one.units.includes(line.unit));
  if (rule !== undefined && rule.quiet_reasons.includes(line.reason)) return 'none';
  const byStatus = rule === undefined ? 'none' : responseOf(rule, line.errorStatus ?? 0);
  return line.fatal ? 'reset' : byStatus;
}

function responseOf(rule: NvlinkRule, status: number): NvlinkResponse {
  const has = (bit: number) => (status & bit) >>> 0 !== 0;
  if (rule.always !== undefined) return rule.always;
  if (rule.reset_values.includes(status) || rule.reset_bits.some(has)) return 'reset';
  return rule.follow_driver_bits.some(has) ? 'follow_driver' : 'none';
}
