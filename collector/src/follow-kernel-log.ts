import { messageOf, type Clock } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import type { CollectorMetrics } from './collector-metrics.js';
import { FollowFile, type FilePosition } from './follow-file.js';
import { KernelLogEvents, type KernelLogOptions, type KernelLogState } from './kernel-log-events.js';

export interface RememberedLog {
  readonly position: FilePosition;
  readonly kernel: KernelLogState;
  /** PCI address → GPU, as the log itself told. */
  readonly gpus: Readonly<Record<string, string>>;
}

export interface FollowKernelLogOptions extends Omit<KernelLogOptions, 'noteGpu' | 'state'> {
  readonly file: string;
  readonly pollMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: CollectorMetrics;
  readonly remembered?: RememberedLog | undefined;
  /** Resolves once the events are durable; only then the place in the log moves on. */
  deliver(events: readonly GpuEvent[]): Promise<void>;
  moved(): void;
}

/** Reads one kernel log as it grows and turns its lines into events, each once. */
export class FollowKernelLog {
  readonly #options: FollowKernelLogOptions;
  readonly #file: FollowFile;
  readonly #events: KernelLogEvents;
  readonly #gpus: Map<string, string>;
  #remembered: RememberedLog | undefined;

  constructor(options: FollowKernelLogOptions) {
    this.#options = options;
    this.#remembered = options.remembered;
    this.#gpus = new Map(Object.entries(options.remembered?.gpus ?? {}));
    this.#file = new FollowFile({ path: options.file, from: options.remembered?.position });
    this.#events = new KernelLogEvents({
      ...options,
      findGpu: (pciBusId) => options.findGpu(pciBusId) ?? this.#gpus.get(pciBusId),
      noteGpu: (pciBusId, gpuUuid) => this.#gpus.set(pciBusId, gpuUuid),
      state: options.remembered?.kernel,
    });
  }

  get file(): string {
    return this.#options.file;
  }

  remember(): RememberedLog | undefined {
    return this.#remembered;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, pollMs } = this.#options;
    let complaint: string | undefined;
    while (!signal.aborted) {
      const turn = await this.#turn(signal);
      if (turn.complaint !== undefined && turn.complaint !== complaint) {
        logger.warn(
          { file: this.file, reason: turn.complaint },
          'A kernel log cannot be read; it is tried again.',
        );
      }
      complaint = turn.complaint;
      // Only the stop ends the wait early.
      if (!turn.more) await clock.sleep(pollMs, signal).catch(() => undefined);
    }
    await this.#file.close();
  }

  async #turn(signal: AbortSignal): Promise<{ more: boolean; complaint: string | undefined }> {
    try {
      const more = await this.readOnce(signal);
      return { more, complaint: this.#file.isOpen ? undefined : 'the file does not exist' };
    } catch (fault) {
      return { more: false, complaint: signal.aborted ? undefined : messageOf(fault) };
    }
  }

  /** Reads what is there now; true when there may be more at once. */
  async readOnce(signal: AbortSignal): Promise<boolean> {
    const found = await this.#file.read();
    if (found === undefined) return false;
    const { metrics, clock, logger } = this.#options;
    metrics.kernelLines(found.lines.length);
    const events = this.#events.eventsFrom(found.lines, Math.min(found.writtenAtMs, clock.now()));
    for (const event of events) {
      metrics.event(event.kind);
      logger.debug(
        { file: this.file, kind: event.kind, code: event.code, gpu_uuid: event.gpuUuid },
        event.message,
      );
    }
    await unlessAborted(this.#options.deliver(events), signal);
    this.#remembered = {
      position: found.position,
      kernel: this.#events.state(),
      gpus: Object.fromEntries(this.#gpus),
    };
    this.#options.moved();
    return found.more;
  }
}

/** At a stop the place in the log stays where it was: the lines are read again, and are the same events then. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const ended = new AbortController();
  const stopped = new Promise<never>((_resolve, reject) => {
    const give = () => reject(signal.reason as Error);
    signal.addEventListener('abort', give, { once: true, signal: ended.signal });
  });
  try {
    await Promise.race([work, stopped]);
  } finally {
    ended.abort();
  }
}
