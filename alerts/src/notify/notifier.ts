/**
 * Tells people. What has to be told is written first, in one transaction with the mark that it is told, and sent
 * afterwards, so that a crash loses nothing; a message that may have arrived is sent again under the same id.
 */
import { instantFromMs, isPoolmeterError, messageOf, type Clock } from '@poolmeter/domain';
import type { HeldLock, RelationalStore } from '@poolmeter/relational-store';
import { repeatEvery, type Component, type Logger, type Telemetry } from '@poolmeter/service';
import type { AlertsDatabase } from '../store/alerts-database.js';
import type { Channel, NotificationsFile } from './channels.js';
import { deliver } from './deliver.js';
import {
  createNotificationStore,
  type NotificationStore,
  type WaitingMessage,
} from './notification-store.js';

export interface NotifierOptions {
  readonly relational: RelationalStore<AlertsDatabase>;
  readonly notifications: NotificationsFile;
  readonly secrets: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
}

const LOCK_NAME = 'poolmeter.alerts.notifier';
const LOOK_MS = 1_000;
const MESSAGES_PER_TURN = 50;
/** Alertmanager is told again this often what still burns. */
const REFRESH_MS = 60_000;
const LONGEST_PAUSE_MS = 600_000;

/** The notifier as a part of a process. Of several processes one works, the others stand by. */
export function createNotifier(options: NotifierOptions): Component {
  const store = createNotificationStore(options.relational, {
    consoleUrl: options.notifications.console_url,
  });
  const counts = new Map<string, number>();
  options.telemetry.meter
    .createObservableGauge('poolmeter.alerts.notifications', {
      description: 'Messages to people, by status.',
    })
    .addCallback((result) => {
      for (const [status, count] of counts) result.observe(count, { status });
    });
  let held: { readonly lock: HeldLock; readonly engine: NotifierEngine } | undefined;
  const loop = repeatEvery({
    name: 'notifier',
    everyMs: LOOK_MS,
    clock: options.clock,
    logger: options.logger,
    meter: options.telemetry.meter,
    async run(signal) {
      if (held?.lock.lost.aborted === true) {
        await held.lock.release();
        held = undefined;
      }
      if (held === undefined) {
        const lock = await options.relational.tryLock(LOCK_NAME);
        if (lock === undefined) return;
        held = { lock, engine: new NotifierEngine({ ...options, store }) };
      }
      await held.engine.turn(signal);
      for (const { status, count } of await store.counts()) counts.set(status, count);
    },
  });
  return {
    name: loop.name,
    start: () => loop.start(),
    async stop() {
      await loop.stop();
      await held?.lock.release();
    },
  };
}

export interface NotifierEngineParts extends Pick<
  NotifierOptions,
  'notifications' | 'secrets' | 'clock' | 'logger'
> {
  readonly store: NotificationStore;
}

export class NotifierEngine {
  readonly #parts: NotifierEngineParts;
  readonly #refreshedAtMs = new Map<string, number>();

  constructor(parts: NotifierEngineParts) {
    this.#parts = parts;
  }

  async turn(signal: AbortSignal): Promise<void> {
    const { store, clock, notifications } = this.#parts;
    for (const channel of notifications.channels) await store.plan(channel, clock.now());
    for (const waiting of await store.due(clock.now(), MESSAGES_PER_TURN)) {
      signal.throwIfAborted();
      await this.#send(waiting, signal);
    }
    for (const channel of notifications.channels) {
      if (channel.kind === 'alertmanager') await this.#refresh(channel, signal);
    }
  }

  async #send(waiting: WaitingMessage, signal: AbortSignal): Promise<void> {
    const { store, clock, notifications, secrets, logger } = this.#parts;
    const { id } = waiting.message;
    const channel = notifications.channels.find((one) => one.id === waiting.channel);
    if (channel === undefined) {
      await store.markFailed(id, { fault: 'The channel is no longer configured.', retryAt: undefined });
      return;
    }
    try {
      await deliver(channel, waiting.message, { secrets, nowMs: clock.now(), signal });
    } catch (fault) {
      signal.throwIfAborted();
      const retryAt = this.#retryAt(waiting, fault);
      logger.warn(
        { channel: channel.id, notification: id, attempts: waiting.attempts + 1, error: messageOf(fault) },
        retryAt === undefined
          ? 'A message could not be delivered and is given up.'
          : 'A message is tried again later.',
      );
      await store.markFailed(id, { fault: messageOf(fault), retryAt });
      return;
    }
    await store.markSent(id, clock.now());
  }

  /** Undefined when another attempt is pointless. */
  #retryAt(waiting: WaitingMessage, fault: unknown) {
    const { clock, notifications } = this.#parts;
    const isHopeless = isPoolmeterError(fault) && fault.code === 'dependency.refused' && !fault.retriable;
    if (isHopeless || clock.now() - waiting.createdAt >= notifications.give_up_after) return undefined;
    return instantFromMs(clock.now() + Math.min(LONGEST_PAUSE_MS, 1_000 * 2 ** waiting.attempts));
  }

  async #refresh(channel: Channel, signal: AbortSignal): Promise<void> {
    const { store, clock, secrets, logger } = this.#parts;
    const last = this.#refreshedAtMs.get(channel.id) ?? 0;
    if (clock.now() - last < REFRESH_MS) return;
    this.#refreshedAtMs.set(channel.id, clock.now());
    const message = await store.firing(channel);
    if (message === undefined) return;
    try {
      await deliver(channel, message, { secrets, nowMs: clock.now(), signal });
    } catch (fault) {
      signal.throwIfAborted();
      logger.warn(
        { channel: channel.id, error: messageOf(fault) },
        'What still burns could not be repeated.',
      );
    }
  }
}
