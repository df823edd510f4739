/** A Kafka broker of our own on loopback, which may be killed and started again on its folder. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SCRIPTS = fileURLToPath(new URL('../../scripts/kafka/', import.meta.url));

export interface Broker {
  readonly address: string;
  pid(): Promise<number>;
  /** Starts it again after it was killed. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startBroker(directory: string): Promise<Broker> {
  const [client, controller] = [await freePort(), await freePort()];
  const start = async () => {
    await run(join(SCRIPTS, 'start.sh'), [directory, String(client), String(controller)]);
  };
  await start();
  return {
    address: `127.0.0.1:${client}`,
    pid: async () => Number(await readFile(join(directory, 'broker.pid'), 'utf8')),
    start,
    stop: async () => {
      await run(join(SCRIPTS, 'stop.sh'), [directory]);
    },
  };
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
