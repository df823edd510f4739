import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collector, eventually, message, textOf } from './bus-test-bench.js';
import type { EventBus } from './event-bus.js';
import { createKafkaClient } from './kafka-client.js';
import { startTestBroker, createTestLogger, type TestBroker } from './kafka-test-broker.js';
import { openBus, type BusSettings } from './open-bus.js';

const logger = createTestLogger(process.env);

const family = 'poolmeter.gpu-samples';
const [north, south] = [`${family}.north`, `${family}.south`];
let broker: TestBroker;
let admin: EventBus;
const open: EventBus[] = [];

/** A bus as a role would open it. */
function busOf(settings: Partial<BusSettings>): EventBus {
  const { brokers, directory } = broker;
  const trusting = { kafkaTls: true, kafkaTlsCaFile: join(directory, 'tls', 'ca.crt') };
  const bus = openBus(
    { brokers, ...trusting, ...settings },
    { clientId: 'poolmeter-test', prefix: 'POOLMETER_TEST', logger },
  );
  open.push(bus);
  return bus;
}
const userOf = (name: string, settings: Partial<BusSettings> = {}) =>
  busOf({ kafkaUsername: name, kafkaPassword: `${name}-secret`, ...settings });

/** The rules that docs/how-to/secure-kafka.md gives: agents write their provider's topic, the pipeline reads all. */
async function allow(): Promise<void> {
  const client = createKafkaClient({
    brokers: broker.brokers,
    clientId: 'poolmeter-test-rules',
    logger,
    sasl: { mechanism: 'scram-sha-512', username: 'admin', password: 'admin-secret' },
    ssl: { ca: readFileSync(join(broker.directory, 'tls', 'ca.crt'), 'utf8') },
  }).admin();
  const rule = (user: string, type: AclResourceTypes, name: string, operation: AclOperationTypes) => ({
    principal: `User:${user}`,
    host: '*',
    permissionType: AclPermissionTypes.ALLOW,
    resourceType: type,
    resourceName: name,
    resourcePatternType:
      name.endsWith('.') || name === family ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
    operation,
  });
  const { TOPIC, GROUP } = AclResourceTypes;
  await client.connect();
  await client.createAcls({
    acl: [
      rule('north', TOPIC, north, AclOperationTypes.WRITE),
      rule('south', TOPIC, south, AclOperationTypes.WRITE),
      rule('pipeline', TOPIC, family, AclOperationTypes.READ),
      rule('pipeline', GROUP, 'poolmeter-pipeline', AclOperationTypes.READ),
    ],
  });
  await client.disconnect();
}

beforeAll(async () => {
  broker = await startTestBroker('start-secure.sh');
  admin = userOf('admin');
  await admin.ensureTopics([family, north, south].map((name) => ({ name, partitions: 1 })));
  await allow();
});
afterAll(async () => {
  await Promise.all(open.map((bus) => bus.close()));
  await broker.stop();
});

describe('access to a Kafka with TLS, logins and rules', () => {
  it('lets each provider write to its own topic only, and the pipeline read and commit all of them', async () => {
    await userOf('north').publish(north, [message('n', 'from north')]);
    await userOf('south').publish(south, [message('s', 'from south')]);
    for (const foreign of [south, family]) {
      await expect(userOf('north').publish(foreign, [message('n', 'foreign')])).rejects.toMatchObject({
        code: 'dependency.refused',
        retriable: false,
      });
    }
    const pipeline = userOf('pipeline');
    expect(await pipeline.topics(family)).toEqual([family, north, south]);
    const seen = collector();
    const group = 'poolmeter-pipeline';
    const subscription = await pipeline.subscribe({
      group,
      topics: [],
      topicFamilies: [family],
      startAt: 'earliest',
      ...seen,
    });
    await eventually(() => seen.messages.length >= 2, 'both arrive');
    expect(seen.messages.map((one) => `${one.topic}: ${textOf(one)}`).sort()).toEqual([
      `${north}: from north`,
      `${south}: from south`,
    ]);
    await subscription.commit({ topic: north, partition: 0, nextOffset: 1n, metadata: 'note' });
    expect((await pipeline.lag(group, north))[0]?.lag).toBe(0n);
    await subscription.stop();
    await expect(pipeline.publish(north, [message('p', 'not allowed')])).rejects.toMatchObject({
      code: 'dependency.refused',
      retriable: false,
    });
  });

  it('refuses a group that no rule allows, and a topic without rules', async () => {
    const options = { topics: [north], startAt: 'earliest', onBatch: () => Promise.resolve() } as const;
    const refused = { code: 'dependency.refused', retriable: false };
    const group = randomUUID();
    await expect(userOf('pipeline').subscribe({ ...options, group })).rejects.toMatchObject(refused);
    await expect(userOf('nobody').subscribe({ ...options, group })).rejects.toMatchObject(refused);
    await expect(userOf('nobody').publish(north, [message('k', 'v')])).rejects.toMatchObject(refused);
  });

  it.each(['scram-sha-512', 'scram-sha-256', 'plain'] as const)('takes a login by %s', async (kafkaSasl) => {
    const bus = userOf('north', { kafkaSasl });
    await bus.publish(north, [message('n', kafkaSasl)]);
    await expect(
      userOf('north', { kafkaSasl, kafkaPassword: 'wrong' }).publish(north, [message('n', 'v')]),
    ).rejects.toMatchObject({ code: 'dependency.refused', retriable: false });
  });

  it('shows a certificate of its own where it has one', async () => {
    const tls = (name: string) => join(broker.directory, 'tls', name);
    const bus = userOf('north', { kafkaTlsCertFile: tls('client.crt'), kafkaTlsKeyFile: tls('client.key') });
    await bus.publish(north, [message('n', 'with a certificate')]);
  });

  it.each([
    ['an authority that it does not know', { kafkaTlsCaFile: undefined }, /unknown authority/],
    ['plain text at a port for TLS', { kafkaTls: false, kafkaTlsCaFile: undefined }, /speaks TLS/],
  ])('says that it meets %s', async (_case, settings, says) => {
    const begun = performance.now();
    const login = { kafkaUsername: 'north', kafkaPassword: 'north-secret' };
    const ping = busOf({ ...login, ...(settings as Partial<BusSettings>) }).ping();
    const fault: unknown = await ping.catch((thrown: unknown) => thrown);
    expect(fault).toMatchObject({ code: 'dependency.refused', retriable: false });
    expect((fault as Error).message).toMatch(says);
    expect(performance.now() - begun).toBeLessThan(15_000);
  });
});

describe('a login by token', () => {
  let server: Server;
  const asked: { authorization: string | undefined; body: string }[] = [];
  const unsigned = (claims: object) =>
    [{ alg: 'none' }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
      .concat('.');
  beforeAll(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { authorization } = request.headers;
        asked.push({ authorization, body: Buffer.concat(chunks).toString() });
        const isKnown = authorization === `Basic ${Buffer.from('north:north-secret').toString('base64')}`;
        const now = Math.floor(Date.now() / 1_000);
        const token = unsigned({ sub: 'north', iat: now, exp: now + 300 });
        response.writeHead(isKnown ? 200 : 401, { 'content-type': 'application/json' });
        response.end(JSON.stringify(isKnown ? { access_token: token, expires_in: 300 } : { error: 'no' }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  const tokenSettings = () => ({
    kafkaSasl: 'oauthbearer' as const,
    kafkaTokenUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    kafkaTokenScope: 'kafka',
  });

  it('fetches one token for all connections, and has the rights of its subject', async () => {
    const bus = userOf('north', tokenSettings());
    await bus.publish(north, [message('n', 'by token')]);
    await expect(bus.publish(south, [message('n', 'foreign')])).rejects.toMatchObject({
      code: 'dependency.refused',
    });
    expect(asked).toHaveLength(1);
    expect(asked[0]?.body).toBe('grant_type=client_credentials&scope=kafka');
  });

  it('says that the token endpoint refused the client', async () => {
    const ping = userOf('north', { ...tokenSettings(), kafkaPassword: 'wrong' }).ping();
    await expect(ping).rejects.toMatchObject({ code: 'dependency.refused', retriable: false });
  });
});
