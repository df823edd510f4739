/** How a line says when it was written. */
export type LineStamp =
  /** Microseconds since the kernel started. */
  | { readonly kind: 'boot'; readonly microseconds: bigint }
  /** Wall time; `zoned` is false when the line names no offset and the reader's zone was taken. */
  | { readonly kind: 'wall'; readonly ms: number; readonly zoned: boolean }
  | { readonly kind: 'none' };

/** One line of a kernel log, whatever wrote it: the kernel ring, dmesg, a journal or syslog. */
export interface KernelLine {
  readonly stamp: LineStamp;
  /** The stamp as it was written: part of the line's identity. */
  readonly stampText: string;
  /** The kernel's own number of the line (kmsg). */
  readonly sequence: bigint | undefined;
  /** Journals name the boot. */
  readonly bootId: string | undefined;
  /** What the kernel said. */
  readonly text: string;
}

export interface KernelLineOptions {
  /** Syslog stamps have no year: that which puts the line nearest before this instant (epoch milliseconds). */
  readonly nowMs: number;
}

type Form = (line: string, options: KernelLineOptions) => KernelLine | undefined;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAY_MS = 86_400_000;

/** `6,3964,206764307,-;text` as /dev/kmsg gives it. */
const kmsg: Form = (line) => {
  const [, sequence, microseconds, text] = /^\d+,(\d+),(\d+),[^;]*;(.*)$/s.exec(line) ?? [];
  if (sequence === undefined || microseconds === undefined || text === undefined) return undefined;
  const stamp = { kind: 'boot', microseconds: BigInt(microseconds) } as const;
  return { stamp, stampText: microseconds, sequence: BigInt(sequence), bootId: undefined, text };
};

/** One object per line, as `journalctl --output=json` prints it. */
const journalJson: Form = (line) => {
  if (!line.startsWith('{')) return undefined;
  const entry = jsonObject(line);
  const text = entry?.['MESSAGE'];
  const realtime = entry?.['__REALTIME_TIMESTAMP'];
  if (typeof text !== 'string' || typeof realtime !== 'string' || !/^\d{1,17}$/.test(realtime))
    return undefined;
  const bootId = entry?.['_BOOT_ID'];
  return {
    stamp: { kind: 'wall', ms: Math.floor(Number(realtime) / 1000), zoned: true },
    stampText: realtime,
    sequence: undefined,
    bootId: typeof bootId === 'string' ? bootId : undefined,
    text,
  };
};

/** `[  123.456789] text`, also behind a level: `<6>[…]`, `kern  :warn  : […]`. */
const dmesg: Form = (line) => {
  const [, seconds, fraction, text] = /^\[ *(\d+)\.(\d{1,6})\] ?(.*)$/s.exec(line) ?? [];
  if (seconds === undefined || fraction === undefined || text === undefined) return undefined;
  const microseconds = BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
  const stampText = `${seconds}.${fraction}`;
  return { stamp: { kind: 'boot', microseconds }, stampText, sequence: undefined, bootId: undefined, text };
};

const ISO = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)? +(.*)$/s;

/** `dmesg --time-format iso`, `journalctl -o short-iso…` and syslog with RFC 3339 stamps. */
const iso: Form = (line) => {
  const [, date, time, fraction, offset, rest] = ISO.exec(line) ?? [];
  if (date === undefined || time === undefined || rest === undefined) return undefined;
  const zone = offset === undefined ? '' : offset.replace(/^([+-]\d\d):?(\d\d)$/, '$1:$2');
  // Below a millisecond the stamp is cut, not rounded: an event is never dated after it happened.
  const ms = Date.parse(`${date}T${time}.${(fraction ?? '0').padEnd(3, '0').slice(0, 3)}${zone}`);
  const stampText = line.slice(0, line.length - rest.length).trim();
  return wallLine({ ms, zoned: offset !== undefined }, stampText, withoutSyslogHead(rest));
};

/** `[Fri Oct 14 14:56:49 2022] text` (dmesg -T) and `[Feb 27 2025 15:10:02] text` (Fabric Manager): local time. */
const bracketedLocal: Form = (line) => {
  const [, stampText, text] = /^\[([A-Z][a-z]{2} [^\]]{10,24})\] ?(.*)$/s.exec(line) ?? [];
  if (stampText === undefined || text === undefined) return undefined;
  const dmesgT = /^[A-Z][a-z]{2} +([A-Z][a-z]{2}) +(\d+) (\d\d:\d\d:\d\d) (\d{4})$/.exec(stampText);
  const manager = /^([A-Z][a-z]{2}) +(\d+) (\d{4}) (\d\d:\d\d:\d\d)$/.exec(stampText);
  const [month, day, time, year] =
    dmesgT === null ? [manager?.[1], manager?.[2], manager?.[4], manager?.[3]] : dmesgT.slice(1);
  return wallLine({ ms: localMs(year, month, day, time), zoned: false }, stampText, text);
};

/** `Jan 21 04:41:44 host kernel: text`: local time without a year. */
const syslog: Form = (line, options) => {
  const match = /^([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d)(?:\.\d+)? (.*)$/s.exec(line);
  if (match === null) return undefined;
  const [, month, day, time, rest = ''] = match;
  const year = new Date(options.nowMs).getFullYear();
  const thisYear = localMs(String(year), month, day, time);
  // A stamp of the day after tomorrow is one of last year: logs hold no future.
  const ms = thisYear > options.nowMs + DAY_MS ? localMs(String(year - 1), month, day, time) : thisYear;
  return wallLine(
    { ms, zoned: false },
    line.slice(0, line.length - rest.length).trim(),
    withoutSyslogHead(rest),
  );
};

const FORMS: readonly Form[] = [kmsg, journalJson, dmesg, iso, bracketedLocal, syslog];

/** Reads the envelope of a line. A line in no known form is text without a stamp; nothing is refused. */
export function parseKernelLine(line: string, options: KernelLineOptions): KernelLine {
  const bare = line.replace(/^(?:<\d+>|[a-z]+ *:[a-z]+ *: )/, '');
  for (const form of FORMS) {
    const parsed = form(bare, options);
    if (parsed !== undefined) return parsed;
  }
  return { stamp: { kind: 'none' }, stampText: '', sequence: undefined, bootId: undefined, text: bare };
}

function wallLine(
  at: { readonly ms: number; readonly zoned: boolean },
  stampText: string,
  rest: string,
): KernelLine | undefined {
  if (Number.isNaN(at.ms)) return undefined;
  // Syslog may carry the kernel's own stamp too: it is finer, and makes equal lines of one second different.
  const inner = dmesg(rest, { nowMs: at.ms });
  return {
    stamp: { kind: 'wall', ...at },
    stampText: inner === undefined ? stampText : `${stampText} ${inner.stampText}`,
    sequence: undefined,
    bootId: undefined,
    text: inner?.text ?? rest,
  };
}

/** `host kernel: text` → `text`. */
function withoutSyslogHead(rest: string): string {
  return rest.replace(/^\S+ kernel(?:\[\d+\])?: /, '');
}

function localMs(
  year: string | undefined,
  month: string | undefined,
  day: string | undefined,
  time: string | undefined,
): number {
  const monthIndex = MONTHS.indexOf(month ?? '');
  const [hours, minutes, seconds] = (time ?? '').split(':').map(Number);
  if (monthIndex < 0 || hours === undefined || minutes === undefined || seconds === undefined)
    return Number.NaN;
  return new Date(Number(year), monthIndex, Number(day), hours, minutes, seconds).getTime();
}

function jsonObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // A log line may begin with a brace without being a journal entry.
    return undefined;
  }
}
