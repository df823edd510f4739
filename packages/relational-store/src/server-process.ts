/** One run of the PostgreSQL server: started, waited for until it is ready, and stopped by its pid. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { readIfPresent, type DataFolder, type ServerPrograms } from './data-folder.js';
import { commandLineOf, waitForEnd } from './running-process.js';

export interface ServerSetup extends ServerPrograms {
  readonly folder: DataFolder;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface ServerProcess {
  readonly pid: number;
  /** Resolves when the process has ended, with what it ended by. */
  readonly ended: Promise<string>;
}

const READY_LIMIT_MS = 60_000;

/** Small on purpose: the server shares a machine with everything else. What protects data (fsync) stays on. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '60',
  shared_buffers: '32MB',
  work_mem: '4MB',
  maintenance_work_mem: '32MB',
  min_wal_size: '32MB',
  max_wal_size: '256MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_parallel_workers: '0',
  max_worker_processes: '2',
  autovacuum_max_workers: '1',
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_checkpoints: 'off',
  log_line_prefix: '',
};

/** Spawns the server and tells its pid at once; `waitUntilReady` says when it can be used. */
export function spawnServer(setup: ServerSetup, port: number): ServerProcess {
  const flags = Object.entries({ ...settings, port: String(port) }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const plan = setup.user.command(setup.binaries.postgres, ['-D', setup.folder.cluster, ...flags]);
  const child = spawn(plan.file, plan.args, {
    ...plan.ids,
    // A group of its own: Ctrl-C in the terminal must not stop it before its users are done.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: setup.environment,
    cwd: setup.folder.root,
  });
  forwardLog(child, setup.logger);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (fault) => resolve(fault.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code ?? -1}`));
  });
  if (child.pid === undefined) {
    throw new PoolmeterError('dependency.unavailable', `PostgreSQL could not be started from ${plan.file}.`);
  }
  return { pid: child.pid, ended };
}

/** The server writes its state into postmaster.pid; the eighth line says `ready`. */
export async function waitUntilReady(server: ServerProcess, setup: ServerSetup): Promise<void> {
  const deadline = setup.clock.now() + READY_LIMIT_MS;
  let end: string | undefined;
  void server.ended.then((how) => (end = how));
  for (;;) {
    const note = await readServerNote(setup.folder);
    if (note?.pid === server.pid && note.state === 'ready') return;
    if (end !== undefined) {
      throw new PoolmeterError(
        'dependency.unavailable',
        `PostgreSQL ended while starting (${end}); its log says why.`,
        {
          retriable: true,
        },
      );
    }
    if (setup.clock.now() > deadline) {
      throw new PoolmeterError('timeout', `PostgreSQL was not ready within ${READY_LIMIT_MS / 1_000} s.`);
    }
    await setup.clock.sleep(10);
  }
}

export async function readServerNote(
  folder: DataFolder,
): Promise<{ pid: number; state: string } | undefined> {
  const text = await readIfPresent(join(folder.cluster, 'postmaster.pid'));
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  return Number.isSafeInteger(pid) && pid > 1 ? { pid, state: (lines[7] ?? '').trim() } : undefined;
}

/** Stops the server that a killed process left behind in this folder. Another process with that pid is left alone. */
export async function stopLeftover(setup: ServerSetup): Promise<void> {
  const note = await readServerNote(setup.folder);
  if (note === undefined || !(await commandLineOf(note.pid)).includes(setup.folder.cluster)) return;
  setup.logger.warn(
    { pid: note.pid },
    'A PostgreSQL server was left running in this folder; it is stopped first.',
  );
  await stopServer(note.pid, setup.clock);
}

/** Fast shutdown; after 2 s the immediate one, whose recovery the next start does. */
export async function stopServer(pid: number, clock: Clock): Promise<void> {
  signalServer(pid, 'SIGINT');
  if (await waitForEnd(pid, { limitMs: 2_000, clock })) return;
  signalServer(pid, 'SIGQUIT');
  if (await waitForEnd(pid, { limitMs: 700, clock })) return;
  signalServer(pid, 'SIGKILL');
  await waitForEnd(pid, { limitMs: 300, clock });
}

function signalServer(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault;
  }
}

/** What clients are told while the server starts or stops; they try again by themselves. */
const EXPECTED_REFUSAL = /the database system is (starting up|shutting down)|terminating connection due to/;

function forwardLog(child: ChildProcess, logger: Logger): void {
  if (child.stderr === null) return;
  const lines = createInterface({ input: child.stderr });
  lines.on('line', (line) => {
    const serious = /^(FATAL|PANIC|setpriv):/.test(line) && !EXPECTED_REFUSAL.test(line);
    if (serious) logger.warn({ postgres: line }, 'PostgreSQL reports a fault.');
    else logger.debug({ postgres: line }, 'PostgreSQL says.');
  });
}
