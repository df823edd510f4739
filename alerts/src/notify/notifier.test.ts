import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@poolmeter/domain';
import { accessMigrations } from '@poolmeter/http-api';
import {
  openRelationalStore,
  runMigrations,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type RelationalStore,
} from '@poolmeter/relational-store';
import { createLogger } from '@poolmeter/service';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { alertsMigrations, type AlertsDatabase, type IncidentTable } from '../store/alerts-database.js';
import { at } from '../verdict/evidence-in-words.js';
import { notificationsSchema, type NotificationsFile } from './channels.js';
import { createNotificationStore, type NotificationStore } from './notification-store.js';
import { NotifierEngine } from './notifier.js';
import { webhookSignature } from './message-forms.js';

const logger = createLogger({ service: 'alerts-test', level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'poolmeter-notifier-'));
const going = new AbortController().signal;
let postgres: EmbeddedPostgres;
let relational: RelationalStore<AlertsDatabase>;
let clock: ManualClock;
let receiver: Receiver;

beforeAll(async () => {
  postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  await runMigrations({ url: postgres.url, sets: [accessMigrations, alertsMigrations] });
  relational = openRelationalStore<AlertsDatabase>({ url: postgres.url, applicationName: 'alerts-test' });
}, 90_000);

afterAll(async () => {
  await relational.close();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const table of ['told', 'notifications', 'silences', 'incidents'])
    await sql`DELETE FROM ${sql.table(`alerts.${table}`)}`.execute(relational.db);
  clock = new ManualClock(at('10:00'));
  receiver = await Receiver.open();
});

afterEach(() => receiver.close());

interface Call {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver over real HTTP that keeps what it got and answers what it is told to. */
class Receiver {
  readonly calls: Call[] = [];
  status = 200;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.calls.push({
          url: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks).toString(),
        });
        response.writeHead(this.status).end('{}');
      });
    });
  }

  static async open(): Promise<Receiver> {
    const made = new Receiver();
    await new Promise<void>((resolve) => made.#server.listen(0, '127.0.0.1', resolve));
    return made;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What somebody saw who drops a message that came before, as the header lets every receiver do. */
  get distinct(): number {
    return new Set(this.calls.map((one) => one.headers['idempotency-key'])).size;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function addIncident(
  id: string,
  facts: Partial<Omit<IncidentTable, 'created_at' | 'updated_at'>> = {},
): Promise<void> {
  await relational.db
    .insertInto('alerts.incidents')
    .values({
      incident_id: id,
      code: 'xid-79',
      title: 'GPU has fallen off the bus',
      severity: 'fatal',
      action: 'reboot',
      status: 'open',
      reason: 'The GPU has not come back since the last evidence.',
      blame: 'hardware',
      billing_class: 'C',
      node: 'gpu-01',
      pool: 'main',
      provider_id: 'north',
      subject_gpu_uuid: 'GPU-aaaa',
      subject_gpu_instance: '',
      subject_pci_bus_id: '',
      gpu_uuids: ['GPU-aaaa'],
      opened_at: new Date(at('10:00')),
      last_evidence_at: new Date(at('10:00')),
      verifying_since: null,
      cleared_at: null,
      policy_version: 'test',
      evidence_count: 1n,
      affected_lease_ids: ['lease-1'],
      demo: false,
      withdrawn: false,
      acknowledged_at: null,
      classified_class: null,
      classified_blame: null,
      content_digest: 'x',
      revision: 1n,
      ...facts,
    })
    .execute();
}

const clear = (id: string, time: string) =>
  relational.db.updateTable('alerts.incidents').set({ cleared_at: new Date(at(time)), status: 'resolved' }).where('incident_id', '=', id).execute(); // prettier-ignore

type ChannelInput = NonNullable<Parameters<typeof notificationsSchema.parse>[0]> & object;
const hook = (facts: object = {}) => ({
  id: 'hook',
  kind: 'webhook',
  url: receiver.url,
  secret_env: 'HOOK_SECRET',
  ...facts,
});
const fileOf = (...channels: ChannelInput[]): NotificationsFile => notificationsSchema.parse({ channels });
const secrets = { HOOK_SECRET: 'a secret', ROUTING_KEY: 'key-1' };

function engineOf(notifications: NotificationsFile, store: NotificationStore = storeOf()): NotifierEngine {
  return new NotifierEngine({ store, notifications, secrets, clock, logger });
}

const storeOf = () => createNotificationStore(relational, { consoleUrl: 'https://pool.example' });

/** A turn that plans, and one after the group's wait that sends. */
async function tell(engine: NotifierEngine): Promise<void> {
  await engine.turn(going);
  clock.advance(11_000);
  await engine.turn(going);
}

const statesOf = (call: Call | undefined) =>
  (
    JSON.parse(call?.body ?? '{"incidents":[]}') as { incidents: { id: string; state: string }[] }
  ).incidents.map((one) => `${one.id} ${one.state}`);

describe('notifications', () => {
  it('tell of an incident once when it opens and once when it is over', async () => {
    await addIncident('inc-1');
    const engine = engineOf(fileOf(hook()));
    await tell(engine);
    await tell(engine);
    expect(receiver.calls.map(statesOf)).toEqual([['inc-1 firing']]);
    await clear('inc-1', '10:00:20');
    await tell(engine);
    await tell(engine);
    expect(receiver.calls.map(statesOf)).toEqual([['inc-1 firing'], ['inc-1 resolved']]);
  });

  it('are signed, so that the receiver knows who sent them and when', async () => {
    await addIncident('inc-1');
    await tell(engineOf(fileOf(hook())));
    const [call] = receiver.calls;
    expect(call?.headers['x-poolmeter-signature']).toBe(
      webhookSignature(call?.body ?? '', { secret: 'a secret', atMs: at('10:00:11') }),
    );
    expect(webhookSignature('{}', { secret: 'other', atMs: at('10:00:11') })).not.toBe(
      webhookSignature('{}', { secret: 'a secret', atMs: at('10:00:11') }),
    );
  });

  it('of one node within the wait are one message', async () => {
    await addIncident('inc-1');
    const engine = engineOf(fileOf(hook()));
    await engine.turn(going);
    await addIncident('inc-2', { code: 'node-silent', severity: 'warn' });
    await addIncident('inc-3', { node: 'gpu-02' });
    clock.advance(1_000);
    await tell(engine);
    expect(receiver.calls.map(statesOf).sort()).toEqual([['inc-1 firing', 'inc-2 firing'], ['inc-3 firing']]);
  });

  it('respect what a channel wants, silences, and quiet hours', async () => {
    await addIncident('inc-info', { severity: 'info' });
    await addIncident('inc-other', { pool: 'other' });
    await addIncident('inc-silent', { node: 'gpu-09' });
    await addIncident('inc-night', { severity: 'warn' });
    await addIncident('inc-told');
    await relational.db.insertInto('alerts.silences').values({
      silence_id: 's1', matches: { node: ['gpu-09'] }, starts_at: new Date(at('09:00')), ends_at: new Date(at('10:30')),
      reason: 'Board is being swapped.', created_by: 'op',
    }).execute(); // prettier-ignore
    // 10:00 UTC is 11:00 in Berlin, in this story in the middle of the night.
    const quiet = { zone: 'Europe/Berlin', from: '22:00', to: '11:45' };
    const engine = engineOf(fileOf(hook({ match: { pool: ['main'] }, quiet_hours: quiet })));
    await tell(engine);
    expect(receiver.calls.flatMap(statesOf)).toEqual(['inc-told firing']);
    clock.set(at('10:31'));
    await tell(engine);
    expect(receiver.calls.flatMap(statesOf)).toEqual(['inc-told firing', 'inc-silent firing']);
    clock.set(at('10:45'));
    await tell(engine);
    expect(receiver.calls.flatMap(statesOf)).toEqual([
      'inc-told firing',
      'inc-silent firing',
      'inc-night firing',
    ]);
  });

  it('come again when an incident gets worse, and not when it is touched otherwise', async () => {
    await addIncident('inc-1', { severity: 'warn' });
    const engine = engineOf(fileOf(hook()));
    await tell(engine);
    await relational.db
      .updateTable('alerts.incidents')
      .set({ reason: 'Other words.', revision: 2n })
      .execute();
    await tell(engine);
    expect(receiver.calls).toHaveLength(1);
    await relational.db.updateTable('alerts.incidents').set({ severity: 'critical' }).execute();
    await tell(engine);
    expect(receiver.calls).toHaveLength(2);
  });

  it('tell of a grave incident that came and went unseen, but not of old history', async () => {
    await addIncident('inc-missed', {
      cleared_at: new Date(at('10:00:30')),
      opened_at: new Date(at('09:50')),
    });
    await addIncident('inc-old', { cleared_at: new Date(at('05:00:30')), opened_at: new Date(at('04:50')) });
    clock.set(at('10:20'));
    await tell(engineOf(fileOf(hook())));
    expect(receiver.calls.flatMap(statesOf)).toEqual(['inc-missed resolved']);
  });

  it('are tried again with growing pauses while the receiver is down, and given up where it refuses', async () => {
    await addIncident('inc-1');
    const engine = engineOf(fileOf(hook()));
    receiver.status = 503;
    await tell(engine);
    await engine.turn(going);
    expect(receiver.calls).toHaveLength(1);
    for (const pauseMs of [1_000, 2_000, 4_000]) {
      clock.advance(pauseMs);
      await engine.turn(going);
    }
    expect(receiver.calls).toHaveLength(4);
    receiver.status = 200;
    clock.advance(8_000);
    await engine.turn(going);
    expect(receiver.distinct).toBe(1);
    expect(await storeOf().counts()).toEqual([{ status: 'sent', count: 1 }]);
    receiver.status = 410;
    await clear('inc-1', '10:05');
    await tell(engine);
    clock.advance(600_000);
    await engine.turn(going);
    expect(receiver.calls).toHaveLength(6);
  });
});

describe('a crash', () => {
  it('between writing and sending loses nothing: the next process sends', async () => {
    await addIncident('inc-1');
    await engineOf(fileOf(hook())).turn(going);
    clock.advance(11_000);
    await engineOf(fileOf(hook())).turn(going);
    await engineOf(fileOf(hook())).turn(going);
    expect(receiver.calls.map(statesOf)).toEqual([['inc-1 firing']]);
  });

  it('between sending and noting it repeats the same message under the same id', async () => {
    await addIncident('inc-1');
    const dying: NotificationStore = { ...storeOf(), markSent: () => Promise.reject(new Error('killed')) };
    await expect(tell(engineOf(fileOf(hook()), dying))).rejects.toThrow('killed');
    await engineOf(fileOf(hook())).turn(going);
    await engineOf(fileOf(hook())).turn(going);
    expect(receiver.calls).toHaveLength(2);
    expect(receiver.distinct).toBe(1);
    expect(receiver.calls[1]?.body).toBe(receiver.calls[0]?.body);
  });

  it('in the middle of writing leaves neither message nor mark, so that it is written again', async () => {
    await addIncident('inc-1');
    await sql`ALTER TABLE alerts.told ADD CONSTRAINT away CHECK (false) NOT VALID`.execute(relational.db);
    await expect(engineOf(fileOf(hook())).turn(going)).rejects.toThrow();
    expect(await storeOf().counts()).toEqual([]);
    await sql`ALTER TABLE alerts.told DROP CONSTRAINT away`.execute(relational.db);
    await tell(engineOf(fileOf(hook())));
    expect(receiver.calls.map(statesOf)).toEqual([['inc-1 firing']]);
  });
});

describe('receivers', () => {
  it('Alertmanager: labels stay the same, and what burns is repeated', async () => {
    await addIncident('inc-1');
    const engine = engineOf(fileOf({ id: 'am', kind: 'alertmanager', url: receiver.url }));
    await tell(engine);
    clock.advance(61_000);
    await engine.turn(going);
    await clear('inc-1', '10:01');
    await tell(engine);
    const alerts = receiver.calls.map(
      (one) => (JSON.parse(one.body) as { labels: Record<string, string>; endsAt: string }[])[0],
    );
    expect(receiver.calls[0]?.url).toBe('/api/v2/alerts');
    expect(new Set(alerts.map((one) => JSON.stringify(one?.labels))).size).toBe(1);
    expect(alerts[0]?.labels).toMatchObject({ alertname: 'xid-79', node: 'gpu-01', severity: 'fatal' });
    expect(alerts.at(-1)?.endsAt).toBe('2026-03-02T10:01:00Z');
    expect(alerts.length).toBeGreaterThanOrEqual(3);
  });

  it('PagerDuty: one event per incident, with a key that makes repeats harmless', async () => {
    await addIncident('inc-1');
    await addIncident('inc-2', { code: 'gpu-lost' });
    const pagerduty = { id: 'pd', kind: 'pagerduty', url: receiver.url, routing_key_env: 'ROUTING_KEY' };
    const engine = engineOf(fileOf(pagerduty));
    await tell(engine);
    await clear('inc-1', '10:01');
    await tell(engine);
    const events = receiver.calls.map((one) => JSON.parse(one.body) as Record<string, unknown>);
    expect(events.map((one) => `${String(one['event_action'])} ${String(one['dedup_key'])}`)).toEqual([
      'trigger inc-1',
      'trigger inc-2',
      'resolve inc-1',
    ]);
    expect(events[0]).toMatchObject({
      routing_key: 'key-1',
      payload: { severity: 'critical', source: 'gpu-01' },
    });
  });

  it('Slack: text that a node’s name cannot turn into markup', async () => {
    await addIncident('inc-1', { node: '<!channel>' });
    const engine = new NotifierEngine({
      store: storeOf(), notifications: fileOf({ id: 'chat', kind: 'slack', url_env: 'SLACK_URL' }),
      secrets: { SLACK_URL: `${receiver.url}/services/x` }, clock, logger,
    }); // prettier-ignore
    await tell(engine);
    expect(receiver.calls[0]?.url).toBe('/services/x');
    const body = JSON.parse(receiver.calls[0]?.body ?? '{}') as {
      attachments: { title: string; title_link: string }[];
    };
    expect(body.attachments[0]?.title).toBe('GPU has fallen off the bus on &lt;!channel&gt; (GPU-aaaa)');
    expect(body.attachments[0]?.title_link).toBe('https://pool.example/incidents/inc-1');
  });

  it('e-mail: one plain message over SMTP, with the id of the notification', async () => {
    await addIncident('inc-1');
    const mail = await mailServer();
    const engine = new NotifierEngine({
      store: storeOf(),
      notifications: fileOf({ id: 'mail', kind: 'email', smtp_url_env: 'SMTP', from: 'pool@example.com', to: ['ops@example.com'] }),
      secrets: { SMTP: `smtp://127.0.0.1:${mail.port}` }, clock, logger,
    }); // prettier-ignore
    await tell(engine);
    await mail.close();
    expect(mail.received).toHaveLength(1);
    expect(mail.received[0]).toContain('Subject: [poolmeter] 1 open: node=gpu-01');
    expect(mail.received[0]).toMatch(/Message-ID: <ntf_?-?[\w-]+@poolmeter>/i);
    expect(mail.received[0]).toContain('FATAL: GPU has fallen off the bus on gpu-01 (GPU-aaaa)');
  });

  it('a secret that is not set is told, and the message waits', async () => {
    await addIncident('inc-1');
    await tell(engineOf(fileOf({ ...hook(), secret_env: 'NOT_SET' })));
    const row = await relational.db.selectFrom('alerts.notifications').selectAll().executeTakeFirstOrThrow();
    expect(row).toMatchObject({
      status: 'waiting',
      last_fault: expect.stringContaining('NOT_SET') as string,
    });
  });
});

/** As much of SMTP as one plain message needs. */
async function mailServer() {
  const received: string[] = [];
  const server = createTcpServer((socket) => {
    let text: string | undefined;
    let rest = '';
    const say = (line: string) => socket.write(`${line}\r\n`);
    say('220 test');
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString();
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (text !== undefined) {
          if (line !== '.') text += `${line}\n`;
          else {
            received.push(text);
            text = undefined;
            say('250 taken');
          }
        } else if (line === 'DATA') {
          text = '';
          say('354 go on');
        } else say(line === 'QUIT' ? '221 bye' : '250 ok');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    received,
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
