/** A Slurm for tests: four fake 8-GPU nodes that scripts/slurm starts in a folder of their own. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const scripts = fileURLToPath(new URL('../../../../scripts/slurm/', import.meta.url));

export interface SlurmTestCluster {
  readonly url: string;
  /** The socket of slurmrestd. */
  readonly socket: string;
  readonly tokenFile: string;
  readonly slurmConf: string;
  /** A command of Slurm's client; answers what it printed. */
  command(name: string, ...args: string[]): Promise<string>;
  /** Submits a job that sleeps; answers its id. */
  submit(options: readonly string[], seconds?: number): Promise<number>;
  /** Ends slurmctld at once, as a crash would, after it has saved what it knows now: it saves every few seconds. */
  killController(): Promise<void>;
  /** Starts again what does not run. */
  restart(): Promise<void>;
  /** What the resume and suspend programs were called with. */
  powerLog(): Promise<string[]>;
  stop(): Promise<void>;
}

export async function startSlurmTestCluster(): Promise<SlurmTestCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-slurm-'));
  const ports = await freePorts(6);
  const start = async () => {
    const { stdout } = await run('bash', [join(scripts, 'start.sh'), directory, ...ports.map(String)]);
    return stdout.trim();
  };
  const url = await start();
  const slurmConf = join(directory, 'slurm.conf');
  const command = async (name: string, ...args: string[]) => {
    const { stdout } = await run('env', [`SLURM_CONF=${slurmConf}`, name, ...args], { cwd: directory });
    return stdout.trim();
  };
  return {
    url,
    socket: join(directory, 'run/rest/socket'),
    tokenFile: join(directory, 'run/token'),
    slurmConf,
    command,
    submit: async (options, seconds = 600) => {
      const quiet = ['--parsable', '--output=/dev/null', '--mem=1G'];
      return Number(await command('sbatch', ...quiet, ...options, `--wrap=sleep ${seconds}`));
    },
    killController: async () => {
      const now = Date.now();
      for (let tries = 0; tries < 100; tries += 1) {
        if ((await stat(join(directory, 'state/job_state'))).mtimeMs > now) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      process.kill(Number(await readFile(join(directory, 'run/slurmctld.pid'), 'utf8')), 'SIGKILL');
    },
    restart: async () => {
      await start();
    },
    powerLog: async () => {
      const text = await readFile(join(directory, 'log/power.log'), 'utf8').catch(() => '');
      return text.split('\n').filter((line) => line !== '');
    },
    stop: async () => {
      await run('bash', [join(scripts, 'stop.sh'), directory]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Ports that nobody listens on now, all different. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>((resolve) => {
          const server = net.createServer();
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
