/** A real Prometheus and a real Alertmanager: our rules load, alerts reach people, and end. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { notificationsSchema } from './channels.js';
import { deliver } from './deliver.js';
import type { Message, MessageIncident } from './message-forms.js';

const rules = new URL('../../rules/', import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'poolmeter-prometheus-'));
const children: ChildProcess[] = [];
const told: { status: string; labels: Record<string, string> }[] = [];
const run = promisify(execFile);
let alertmanager = '';
let prometheus = '';
let isRoleUp = false;

const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/metrics') {
      // A role that is down answers nothing that Prometheus takes.
      response.writeHead(isRoleUp ? 200 : 503, { 'content-type': 'text/plain' }).end('up_seen 1\n');
      return;
    }
    const { alerts } = JSON.parse(Buffer.concat(chunks).toString()) as { alerts: typeof told };
    told.push(...alerts);
    response.end('ok');
  });
});

beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const [amPort, clusterless, promPort] = [await freePort(), '', await freePort()];
  alertmanager = `http://127.0.0.1:${amPort}`;
  prometheus = `http://127.0.0.1:${promPort}`;
  write('alertmanager.yml', {
    route: { receiver: 'hook', group_by: ['...'], group_wait: '0s', group_interval: '1s' },
    receivers: [{ name: 'hook', webhook_configs: [{ url: `${hook}/told` }] }],
  });
  // The rules as they ship, only without their patience.
  for (const file of ['poolmeter.yaml', 'gpus.yaml']) {
    const text = readFileSync(new URL(file, rules), 'utf8').replace(/^( +for:) .*$/gm, '$1 1s');
    writeFileSync(join(folder, file), text);
  }
  write('prometheus.yml', {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['poolmeter.yaml', 'gpus.yaml'],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(alertmanager).host] }] }] },
    scrape_configs: [{ job_name: 'poolmeter-test', static_configs: [{ targets: [new URL(hook).host] }] }],
  });
  start('prometheus-alertmanager', [
    `--config.file=${folder}/alertmanager.yml`,
    `--storage.path=${folder}/am`,
    `--web.listen-address=127.0.0.1:${amPort}`,
    `--cluster.listen-address=${clusterless}`,
  ]);
  start('prometheus', [
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${promPort}`,
  ]);
  await until('both are ready', async () => (await isReady(alertmanager)) && (await isReady(prometheus)));
}, 120_000);

afterAll(async () => {
  for (const child of children) {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  }
  receiver.closeAllConnections();
  receiver.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('Prometheus', () => {
  it.each(['poolmeter.test.yaml', 'gpus.test.yaml'])(
    'promtool finds every alert of %s where it should be',
    async (file) => {
      const { stdout } = await run('promtool', ['test', 'rules', new URL(file, rules).pathname]);
      expect(stdout).toContain('SUCCESS');
    },
  );

  it('loads all rules', async () => {
    const answer = await fetch(`${prometheus}/api/v1/rules`);
    const { data } = (await answer.json()) as {
      data: { groups: { rules: { health: string; name: string }[] }[] };
    };
    const loaded = data.groups.flatMap((group) => group.rules.map((rule) => rule.name));
    expect(loaded).toEqual(
      expect.arrayContaining(['PoolmeterRoleDown', 'PoolmeterFaultMonitorBehind', 'GpuXid', 'GpuLost']),
    );
  });

  it('tells Alertmanager of a role that is down, and that it is back', async () => {
    const seen = (status: string) =>
      told.some((one) => one.labels['alertname'] === 'PoolmeterRoleDown' && one.status === status);
    await until('the alert has arrived', () => Promise.resolve(seen('firing')));
    isRoleUp = true;
    await until('the alert is over', () => Promise.resolve(seen('resolved')));
  }, 120_000);
});

describe('Alertmanager', () => {
  const incident: MessageIncident = {
    incident_id: 'inc-1',
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
    gpu_uuids: ['GPU-aaaa'],
    opened_at: new Date(Date.now() - 60_000),
    cleared_at: null,
    affected_lease_ids: [],
  };
  const { channels } = notificationsSchema.parse({
    channels: [{ id: 'am', kind: 'alertmanager', url: 'http://127.0.0.1:1' }],
  });

  async function send(state: 'firing' | 'resolved', facts: Partial<MessageIncident> = {}): Promise<void> {
    const [channel] = channels;
    if (channel?.kind !== 'alertmanager') throw new Error('The channel is Alertmanager’s.');
    const item = {
      incident_id: 'inc-1',
      severity: 'fatal' as const,
      state,
      incident: { ...incident, ...facts },
    };
    const message: Message = {
      id: 'ntf-1',
      groupKey: 'node=gpu-01',
      items: [item],
      consoleUrl: 'http://127.0.0.1:8080',
    };
    await deliver({ ...channel, url: alertmanager }, message, {
      secrets: {},
      nowMs: Date.now(),
      signal: new AbortController().signal,
    });
  }

  const seen = (status: string) =>
    told.filter((one) => one.labels['incident_id'] === 'inc-1' && one.status === status).length;

  it('takes an incident, once however often it is told, and its end', async () => {
    await send('firing');
    await send('firing');
    await until('people are told', () => Promise.resolve(seen('firing') > 0));
    const answer = await fetch(`${alertmanager}/api/v2/alerts?filter=incident_id="inc-1"`);
    expect(await answer.json()).toMatchObject([
      {
        labels: { alertname: 'xid-79', node: 'gpu-01' },
        annotations: { runbook_url: 'docs/runbooks/xid-79.md' },
      },
    ]);
    await send('resolved', { cleared_at: new Date(), status: 'resolved' });
    await until('people are told that it is over', () => Promise.resolve(seen('resolved') > 0));
    expect([seen('firing'), seen('resolved')]).toEqual([1, 1]);
  }, 60_000);
});

function write(name: string, content: unknown): void {
  // YAML 1.2 contains JSON.
  writeFileSync(join(folder, name), JSON.stringify(content));
}

function start(command: string, args: readonly string[]): void {
  children.push(spawn(command, [...args], { stdio: 'ignore' }));
}

async function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/-/ready`).then(
    (answer) => answer.ok,
    () => false,
  );
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}.`);
    await pause(100);
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
