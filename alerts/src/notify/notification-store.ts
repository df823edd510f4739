/** What the notifier reads and writes: messages that wait, and what each channel was told. */
import { idFromFacts, instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { RelationalStore } from '@poolmeter/relational-store';
import type { AlertsDatabase } from '../store/alerts-database.js';
import { dateOf } from '../store/incident-rows.js';
import type { Channel } from './channels.js';
import type { Message, MessageIncident } from './message-forms.js';
import { planNotifications, type NotificationItem, type Silence } from './plan-notifications.js';

export interface WaitingMessage {
  readonly channel: string;
  readonly attempts: number;
  readonly createdAt: EpochMs;
  readonly message: Message;
}

export interface NotificationStore {
  /** Compares what is with what the channel was told, and writes messages for the difference. Returns their number. */
  plan(channel: Channel, now: EpochMs): Promise<number>;
  /** Messages whose time has come, oldest first. */
  due(now: EpochMs, limit: number): Promise<WaitingMessage[]>;
  markSent(id: string, at: EpochMs): Promise<void>;
  markFailed(
    id: string,
    failure: { readonly fault: string; readonly retryAt: EpochMs | undefined },
  ): Promise<void>;
  /** Everything that a channel was told and that is not over, as one message: for receivers that forget. */
  firing(channel: Channel): Promise<Message | undefined>;
  counts(): Promise<{ readonly status: string; readonly count: number }[]>;
}

export function createNotificationStore(
  store: RelationalStore<AlertsDatabase>,
  options: { readonly consoleUrl: string | undefined },
): NotificationStore {
  const { db } = store;
  const messageOf = (id: string, groupKey: string, items: readonly NotificationItem[]) =>
    readMessage(store, { id, groupKey, items, consoleUrl: options.consoleUrl });
  return {
    plan: (channel, now) => store.transaction((trx) => plan(trx, channel, now)),
    async due(now, limit) {
      const waiting: WaitingMessage[] = [];
      for (const row of await dueRows(store, now, limit)) {
        const message = await messageOf(row.notification_id, row.group_key, row.items);
        const createdAt = instantFromMs(row.created_at.getTime());
        waiting.push({ channel: row.channel, attempts: row.attempts, createdAt, message });
      }
      return waiting;
    },
    async markSent(id, at) {
      await db
        .updateTable('alerts.notifications')
        .set((row) => ({
          status: 'sent' as const,
          sent_at: dateOf(at),
          attempts: row('attempts', '+', 1),
          last_fault: null,
        }))
        .where('notification_id', '=', id)
        .execute();
    },
    async markFailed(id, { fault, retryAt }) {
      const next = retryAt === undefined ? { status: 'failed' as const } : { due_at: dateOf(retryAt) };
      await db
        .updateTable('alerts.notifications')
        .set((row) => ({ ...next, attempts: row('attempts', '+', 1), last_fault: fault }))
        .where('notification_id', '=', id)
        .execute();
    },
    async firing(channel) {
      const rows = await db
        .selectFrom('alerts.told')
        .select(['incident_id', 'severity'])
        .where('channel', '=', channel.id)
        .where('state', '=', 'firing')
        .execute();
      if (rows.length === 0) return undefined;
      return messageOf(
        `refresh-${channel.id}`,
        'refresh',
        rows.map((row) => ({ ...row, state: 'firing' as const })),
      );
    },
    async counts() {
      const rows = await db
        .selectFrom('alerts.notifications')
        .select((of) => ['status', of.fn.countAll<bigint>().as('count')])
        .groupBy('status')
        .execute();
      return rows.map((row) => ({ status: row.status, count: Number(row.count) }));
    },
  };
}

type Store = RelationalStore<AlertsDatabase>;

/** The incidents of a message as they are now: what is told is never older than the sending. */
async function readMessage(
  { db }: Store,
  of: Pick<Message, 'id' | 'groupKey' | 'consoleUrl'> & { readonly items: readonly NotificationItem[] },
): Promise<Message> {
  const ids = of.items.map((one) => one.incident_id);
  const rows =
    ids.length === 0
      ? []
      : await db.selectFrom('alerts.incidents').selectAll().where('incident_id', 'in', ids).execute();
  const byId = new Map<string, MessageIncident>(rows.map((row) => [row.incident_id, row]));
  const items = of.items.flatMap((item) => {
    const incident = byId.get(item.incident_id);
    return incident === undefined ? [] : [{ ...item, incident }];
  });
  return { id: of.id, groupKey: of.groupKey, items, consoleUrl: of.consoleUrl };
}

function dueRows({ db }: Store, now: EpochMs, limit: number) {
  return db
    .selectFrom('alerts.notifications')
    .selectAll()
    .where('status', '=', 'waiting')
    .where('due_at', '<=', dateOf(now))
    .orderBy('due_at')
    .orderBy('notification_id')
    .limit(limit)
    .execute();
}

type Trx = Parameters<Parameters<RelationalStore<AlertsDatabase>['transaction']>[0]>[0];

const LATELY_MS = 3_600_000;

async function plan(trx: Trx, channel: Channel, now: EpochMs): Promise<number> {
  const told = await trx
    .selectFrom('alerts.told')
    .selectAll()
    .where('channel', '=', channel.id)
    .where((is) =>
      is.or([is('state', '=', 'firing'), is('at', '>', dateOf(instantFromMs(now - 2 * LATELY_MS)))]),
    )
    .execute();
  const firing = told.filter((one) => one.state === 'firing').map((one) => one.incident_id);
  const incidents = await trx
    .selectFrom('alerts.incidents')
    .selectAll()
    .where((is) =>
      is.or([
        is('cleared_at', 'is', null),
        is('cleared_at', '>', dateOf(instantFromMs(now - LATELY_MS))),
        ...(firing.length === 0 ? [] : [is('incident_id', 'in', firing)]),
      ]),
    )
    .where((is) =>
      is.or([is('withdrawn', '=', false), ...(firing.length === 0 ? [] : [is('incident_id', 'in', firing)])]),
    )
    .execute();
  const silences: Silence[] = await trx
    .selectFrom('alerts.silences')
    .selectAll()
    .where('ends_at', '>', dateOf(now))
    .execute();
  const groups = planNotifications(channel, {
    now,
    incidents,
    told: new Map(told.map((one) => [one.incident_id, one])),
    silences,
  });
  let written = 0;
  for (const { groupKey, items } of groups) {
    const wanted = channel.tell_resolved ? items : items.filter((one) => one.state === 'firing');
    if (wanted.length > 0) {
      await enqueue(trx, { channel, groupKey, items: wanted, now });
      written += 1;
    }
    await markTold(trx, { channel, items, now });
  }
  return written;
}

interface Enqueued {
  readonly channel: Channel;
  readonly groupKey: string;
  readonly items: readonly NotificationItem[];
  readonly now: EpochMs;
}

/** A message of the group that still waits for its first attempt takes them up; else a new one begins to wait. */
async function enqueue(trx: Trx, { channel, groupKey, items, now }: Enqueued): Promise<void> {
  const waiting = await trx
    .selectFrom('alerts.notifications')
    .selectAll()
    .where('channel', '=', channel.id)
    .where('group_key', '=', groupKey)
    .where('status', '=', 'waiting')
    .where('attempts', '=', 0)
    .where('due_at', '>', dateOf(now))
    .forUpdate()
    .executeTakeFirst();
  if (waiting !== undefined) {
    const latest = new Map([...waiting.items, ...items].map((one) => [one.incident_id, one]));
    await trx
      .updateTable('alerts.notifications')
      .set({ items: [...latest.values()] })
      .where('notification_id', '=', waiting.notification_id)
      .execute();
    return;
  }
  const facts = items.map((one) => `${one.incident_id} ${one.state} ${one.severity}`);
  await trx
    .insertInto('alerts.notifications')
    .values({
      notification_id: idFromFacts('ntf', channel.id, groupKey, now, ...facts),
      channel: channel.id,
      group_key: groupKey,
      status: 'waiting',
      items,
      created_at: dateOf(now),
      due_at: dateOf(instantFromMs(now + channel.group_wait)),
    })
    .execute();
}

async function markTold(trx: Trx, of: Omit<Enqueued, 'groupKey'>): Promise<void> {
  for (const { incident_id, state, severity } of of.items) {
    const row = { channel: of.channel.id, incident_id, state, severity, at: dateOf(of.now) };
    await trx
      .insertInto('alerts.told')
      .values(row)
      .onConflict((conflict) => conflict.columns(['channel', 'incident_id']).doUpdateSet(row))
      .execute();
  }
}
