/** Kernel log records and the two ways in which people get them: `dmesg --time-format iso` and `/dev/kmsg`. */
import { hash32, unitAt, uuidOf } from './random.js';

export interface KernelRecord {
  /** Microseconds since 1970-01-01, UTC. */
  readonly atUs: number;
  readonly bootId: string;
  /** The kernel's own count since boot. It only grows; it may skip. */
  readonly sequence: number;
  readonly sinceBootUs: number;
  /** Syslog priority: 3 error, 4 warning, 6 info. */
  readonly priority: number;
  readonly message: string;
}

export type KernelLogFormat = 'dmesg-iso' | 'kmsg';

export function formatKernelRecord(record: KernelRecord, format: KernelLogFormat): string {
  if (format === 'kmsg') {
    return `${record.priority},${record.sequence},${record.sinceBootUs},-;${record.message}`;
  }
  const seconds = new Date(Math.floor(record.atUs / 1000)).toISOString().slice(0, 19);
  const micros = String(record.atUs % 1_000_000).padStart(6, '0');
  return `${seconds},${micros}+00:00 ${record.message}`;
}

interface LoggedLine {
  readonly atUs: number;
  readonly priority: number;
  readonly message: string;
  readonly boot: Boot;
}

interface Boot {
  readonly bootId: string;
  readonly atUs: number;
}

const HOUR_US = 3_600_000_000;
/** Harmless lines in every hour. */
const NOISE_PER_HOUR = 2;
/** Lines that a boot writes before the first one that is recorded here. */
const FIRST_SEQUENCE = 900;

/** The kernel log of one node: what faults and boots write, among lines that mean nothing. */
export class KernelLog {
  readonly #seed: number;
  #lines: LoggedLine[] = [];
  readonly #boots: Boot[] = [];
  readonly #isUpAt: (atMs: number) => boolean;

  /** `isUpAt` says when the machine runs: a machine that is off writes nothing. */
  constructor(birth: { seed: number; bootedAtMs: number; isUpAt: (atMs: number) => boolean }) {
    this.#seed = birth.seed;
    this.#isUpAt = birth.isUpAt;
    this.#beginBoot(birth.bootedAtMs);
  }

  #beginBoot(atMs: number): void {
    const bootId = uuidOf(hash32(this.#seed, this.#boots.length + 77));
    this.#boots.push({ bootId, atUs: atMs * 1000 });
  }

  /** The machine starts again: a new boot id, and the lines of the driver as it loads. */
  boot(atMs: number, messages: readonly string[]): void {
    this.#beginBoot(atMs);
    this.write(atMs, messages, 6);
  }

  /** Lines of one instant, some tens of microseconds apart. */
  write(atMs: number, messages: readonly string[], priority = 4): void {
    const boot = this.#boots.at(-1) as Boot;
    for (const message of messages) {
      const last = this.#lines.at(-1);
      const atUs = Math.max(atMs * 1000, last === undefined ? 0 : last.atUs + 38);
      this.#lines.push({ atUs, priority, message, boot });
    }
  }

  /** Every record in `[fromMs, toMs)`, oldest first. Asking twice gives the same. */
  records(fromMs: number, toMs: number): KernelRecord[] {
    const fromUs = fromMs * 1000;
    const toUs = toMs * 1000;
    const first = this.#lines.findIndex((line) => line.atUs >= fromUs);
    const own: LoggedLine[] = [];
    for (let i = first; i >= 0 && i < this.#lines.length; i++) {
      const line = this.#lines[i] as LoggedLine;
      if (line.atUs >= toUs) break;
      own.push(line);
    }
    return [...own, ...this.#noise(fromUs, toUs)]
      .sort((a, b) => a.atUs - b.atUs)
      .map((line) => this.#numbered(line));
  }

  bootIdAt(atMs: number): string {
    return this.#bootAt(atMs * 1000).bootId;
  }

  forgetBefore(atMs: number): void {
    this.#lines = this.#lines.filter((line) => line.atUs >= atMs * 1000);
  }

  #bootAt(atUs: number): Boot {
    const found = this.#boots.findLast((boot) => boot.atUs <= atUs);
    return found ?? (this.#boots[0] as Boot);
  }

  #noise(fromUs: number, toUs: number): LoggedLine[] {
    const lines: LoggedLine[] = [];
    for (let hour = Math.floor(fromUs / HOUR_US); hour * HOUR_US < toUs; hour++) {
      for (let n = 0; n < NOISE_PER_HOUR; n++) {
        const atUs = (hour + (n + unitAt(this.#seed + n, hour)) / NOISE_PER_HOUR) * HOUR_US;
        const whole = Math.floor(atUs);
        if (whole >= fromUs && whole < toUs && this.#isUpAt(Math.floor(whole / 1000))) {
          lines.push({
            atUs: whole,
            priority: 6,
            message: noiseMessage(hash32(this.#seed + 31 * n, hour)),
            boot: this.#bootAt(whole),
          });
        }
      }
    }
    return lines;
  }

  /** The sequence follows from the time since boot, so that it grows with every record whatever is asked for first. */
  #numbered(line: LoggedLine): KernelRecord {
    const sinceBootUs = Math.max(0, line.atUs - line.boot.atUs);
    return {
      atUs: line.atUs,
      bootId: line.boot.bootId,
      sequence: FIRST_SEQUENCE + Math.floor(sinceBootUs / 19),
      sinceBootUs,
      priority: line.priority,
      message: line.message,
    };
  }
}

function noiseMessage(hash: number): string {
  const hex = hash.toString(16).padStart(8, '0');
  switch (hash % 6) {
    case 0:
      return `IPv6: ADDRCONF(NETDEV_CHANGE): cali${hex}${hex.slice(0, 3)}: link becomes ready`;
    case 1:
      return 'IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready';
    case 2:
      return `perf: interrupt took too long (${2500 + (hash % 4000)} > 2500), lowering kernel.perf_event_max_sample_rate to ${10_000 + (hash % 90) * 750}`;
    case 3:
      return `nvidia-nvswitch${hash % 4}: open (major=510)`;
    case 4:
      return `systemd-journald[812]: Data hash table of /var/log/journal/${hex}/system.journal has a fill level at 75.0`;
    default:
      return `EXT4-fs (nvme0n1p2): mounted filesystem with ordered data mode. Opts: errors=remount-ro. Quota mode: none.`;
  }
}
