import { createHash } from 'node:crypto';
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import { dateBootStamps, NO_BOOT, type BootState, type DatedStamp } from './boot-time.js';
import { driverMessageOf, type DriverMessage } from './driver-message.js';
import { parseKernelLine, type KernelLine } from './kernel-line.js';

/** What must be remembered of a log so that its lines keep their identity. Plain JSON. */
export interface KernelLogState {
  readonly boot: BootState;
  /** The stamp of the last line that was an event, and how often each such line stood under it. */
  readonly lastStamp: string;
  readonly sameLines: Readonly<Record<string, number>>;
}

export const FRESH_KERNEL_LOG: KernelLogState = { boot: NO_BOOT, lastStamp: '', sameLines: {} };

export interface KernelLogOptions {
  readonly node: string;
  readonly pool: string;
  readonly providerId: string;
  /** The boot id, where the log is that of one known boot. */
  readonly bootId?: string | undefined;
  readonly demo?: boolean | undefined;
  /** Which GPU sits at an address (normal form), as scrapes told. */
  findGpu(pciBusId: string): string | undefined;
  /** `GI id/generation` of a MIG instance. */
  nameInstance(gpuUuid: string, instanceId: string): string;
  /** The log itself told where a GPU sits. */
  noteGpu?(pciBusId: string, gpuUuid: string): void;
  readonly state?: KernelLogState | undefined;
}

/** Lines under one stamp that are told apart; a log without stamps keeps the last ones only. */
const MAX_SAME_LINES = 1_000;
const MAX_MESSAGE_LENGTH = 4_096;

interface FoundMessage {
  readonly raw: string;
  readonly line: KernelLine;
  readonly message: Exclude<DriverMessage, { kind: 'gpu-at' }>;
  readonly dated: DatedStamp | undefined;
  readonly writtenByMs: number;
}

/**
 * Turns the lines of one kernel log into GPU events. The identity of an event follows from its line alone (boot,
 * kernel's number, or stamp, text and count of equal lines), so that reading a log twice gives the same events.
 */
export class KernelLogEvents {
  readonly #options: KernelLogOptions;
  #state: KernelLogState;

  constructor(options: KernelLogOptions) {
    this.#options = options;
    this.#state = options.state ?? FRESH_KERNEL_LOG;
  }

  state(): KernelLogState {
    return this.#state;
  }

  /** `writtenByMs`: when the last of these lines stood in the log; it dates lines that only count from boot. */
  eventsFrom(rawLines: readonly string[], writtenByMs: number): GpuEvent[] {
    const lines = rawLines.map((raw) => parseKernelLine(raw, { nowMs: writtenByMs }));
    const dates = this.#dateLines(lines, writtenByMs);
    const events: GpuEvent[] = [];
    for (const [index, line] of lines.entries()) {
      const message = driverMessageOf(line.text);
      if (message === undefined) continue;
      if (message.kind === 'gpu-at') this.#options.noteGpu?.(message.pciBusId, message.gpuUuid);
      else
        events.push(
          this.#event({ raw: rawLines[index] ?? '', line, message, dated: dates.get(line), writtenByMs }),
        );
    }
    return events;
  }

  #dateLines(lines: readonly KernelLine[], writtenByMs: number): Map<KernelLine, DatedStamp | undefined> {
    const sinceBoot = lines.flatMap((line) =>
      line.stamp.kind === 'boot' ? [{ line, microseconds: line.stamp.microseconds }] : [],
    );
    const stamps = sinceBoot.map((one) => one.microseconds);
    const { dated, after } = dateBootStamps(this.#state.boot, stamps, writtenByMs);
    this.#state = { ...this.#state, boot: after };
    return new Map(sinceBoot.map((one, index) => [one.line, dated[index]]));
  }

  #event(found: FoundMessage): GpuEvent {
    const { line, message } = found;
    const { node, pool, providerId, demo } = this.#options;
    const { ts, source } = timeOf(found);
    // An NVSwitch has an address of its own, which is no GPU's.
    const gpuUuid = message.kind === 'sxid' ? '' : (this.#options.findGpu(message.pciBusId) ?? '');
    const instance = message.gpuInstanceId;
    return {
      ts,
      bootId: this.#bootId(found),
      sequence: line.sequence ?? this.#sequenceFromText(line),
      node,
      gpuUuid,
      gpuInstance: instance === '' ? '' : this.#options.nameInstance(gpuUuid, instance),
      pool,
      providerId,
      kind: message.kind,
      code: message.code,
      message: found.raw.slice(0, MAX_MESSAGE_LENGTH),
      detail: {
        ...message.detail,
        ...(message.pciBusId === '' ? {} : { pci_bus_id: message.pciBusId }),
        time_source: source,
      },
      demo: demo ?? false,
    };
  }

  #bootId(found: FoundMessage): string {
    const named = found.line.bootId ?? this.#options.bootId;
    if (named !== undefined) return named;
    // Stamps in wall time are unique without a boot.
    return found.dated === undefined ? 'log' : `boot-${found.dated.boot}`;
  }

  /** 63 bits of a hash of stamp, text and how many equal lines stood under this stamp before. */
  #sequenceFromText(line: KernelLine): bigint {
    const lineHash = createHash('sha256')
      .update(`${line.stampText}\n${line.text}`)
      .digest('hex')
      .slice(0, 16);
    const sameStamp = this.#state.lastStamp === line.stampText ? this.#state.sameLines : {};
    const count = sameStamp[lineHash] ?? 0;
    const kept = Object.entries({ ...sameStamp, [lineHash]: count + 1 }).slice(-MAX_SAME_LINES);
    this.#state = { ...this.#state, lastStamp: line.stampText, sameLines: Object.fromEntries(kept) };
    return createHash('sha256').update(`${lineHash}/${count}`).digest().readBigUInt64BE(0) >> 1n;
  }
}

/** How well a time is known stands beside it: money may hang on it. */
function timeOf(found: FoundMessage): { readonly ts: EpochMs; readonly source: string } {
  const { stamp } = found.line;
  if (stamp.kind === 'wall') {
    return { ts: instantFromMs(stamp.ms), source: stamp.zoned ? 'line' : 'line without zone' };
  }
  if (found.dated !== undefined)
    return { ts: instantFromMs(found.dated.ms), source: 'since boot, estimated' };
  return { ts: instantFromMs(Math.floor(found.writtenByMs)), source: 'arrival' };
}
