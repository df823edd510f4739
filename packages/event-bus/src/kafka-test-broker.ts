/** Brokers for tests: the ones of POOLMETER_TEST_KAFKA, or one that scripts/kafka starts in a folder of its own. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createLogger, type Logger } from '@poolmeter/service';

const run = promisify(execFile);
const scripts = fileURLToPath(new URL('../../../scripts/kafka/', import.meta.url));
/** Silent, unless POOLMETER_TEST_LOG names a level. */
export function createTestLogger(env: NodeJS.ProcessEnv): Logger {
  return createLogger({ service: 'test', level: env['POOLMETER_TEST_LOG'] ?? 'silent' });
}

export interface TestKafka {
  readonly brokers: string[];
  stop(): Promise<void>;
}

/** A broker of our own, which may be killed. */
export interface TestBroker extends TestKafka {
  readonly directory: string;
  /** Ends the process at once, as a crash would. */
  kill(): void;
  /** Starts it again on the same data; resolves when it is ready. */
  restart(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The brokers of POOLMETER_TEST_KAFKA (host:port, separated by commas), else one of our own. */
export async function findTestKafka(env: NodeJS.ProcessEnv): Promise<TestKafka> {
  const given = env['POOLMETER_TEST_KAFKA'];
  if (given === undefined || given === '') return startTestBroker();
  return { brokers: given.split(','), stop: () => Promise.resolve() };
}

/** `script`: start.sh, or start-secure.sh for SASL over TLS with access rules. */
export async function startTestBroker(script = 'start.sh'): Promise<TestBroker> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-kafka-'));
  const [client, controller] = [String(await freePort()), String(await freePort())];
  const start = async () => {
    const { stdout } = await run(join(scripts, script), [directory, client, controller]);
    return Number(stdout.trim());
  };
  let pid = await start();
  return {
    directory,
    brokers: [`127.0.0.1:${client}`],
    kill: () => {
      process.kill(pid, 'SIGKILL');
    },
    restart: async () => {
      pid = await start();
    },
    stop: async () => {
      await run(join(scripts, 'stop.sh'), [directory]);
      await rm(directory, { recursive: true });
    },
  };
}
