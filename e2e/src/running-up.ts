/** `poolmeter up` as a user starts it: a process of its own on a folder of its own, and the command line beside it. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { readEndpoint, type Endpoint } from 'poolmeter';

export const COMMAND = fileURLToPath(new URL('../../cli/bin/poolmeter.mjs', import.meta.url));
const READY_LIMIT_MS = 60_000;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningUp {
  readonly dataDir: string;
  readonly endpoint: Endpoint;
  readonly process: ChildProcess;
  /** Writes a file that commands can name; they run in its folder. */
  file(name: string, lines: readonly string[]): Promise<void>;
  /** Runs a command that must succeed; its standard output. */
  poolmeter(...args: readonly string[]): Promise<string>;
  json<T>(...args: readonly string[]): Promise<T>;
  /** Runs a command that must fail. */
  fails(...args: readonly string[]): Promise<Outcome>;
  get<T>(path: string): Promise<T>;
  /** SIGTERM; resolves with the exit code. */
  terminate(): Promise<number>;
  /** Terminates and removes the folder. */
  stop(): Promise<void>;
}

/** Runs the command to its end. */
export function runPoolmeter(args: readonly string[], cwd: string): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [COMMAND, ...args],
      { cwd, maxBuffer: 64 * 1024 * 1024 },
      (fault, stdout, stderr) => {
        const code = fault === null ? 0 : typeof fault.code === 'number' ? fault.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

export async function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'poolmeter-up-'));
}

/** Starts on a new folder, or again on a given one, and waits for the "ready" line. */
export async function startUp(flags: readonly string[], folder?: string): Promise<RunningUp> {
  const dataDir = folder ?? (await newFolder());
  const child = spawn(
    process.execPath,
    [COMMAND, 'up', '--data-dir', join(dataDir, 'data'), '--port', '0', ...flags],
    {
      cwd: dataDir,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  await untilReady(child);
  const endpoint = await readEndpoint(join(dataDir, 'data'));
  if (endpoint === undefined) throw new Error('There is no endpoint file after the ready line.');
  return asRunning(child, dataDir, endpoint);
}

function asRunning(child: ChildProcess, dataDir: string, endpoint: Endpoint): RunningUp {
  const run = (args: readonly string[]) => runPoolmeter([...args, '--data-dir', 'data'], dataDir);
  const succeed = async (args: readonly string[]) => {
    const outcome = await run(args);
    if (outcome.code !== 0)
      throw new Error(`poolmeter ${args.join(' ')} failed with ${outcome.code}: ${outcome.stderr}`);
    return outcome.stdout;
  };
  const running: RunningUp = {
    dataDir,
    endpoint,
    process: child,
    file: (name, lines) => writeFile(join(dataDir, name), `${lines.join('\n')}\n`),
    poolmeter: (...args) => succeed(args),
    json: async <T>(...args: readonly string[]) => JSON.parse(await succeed([...args, '--json'])) as T,
    async fails(...args) {
      const outcome = await run(args);
      if (outcome.code === 0) throw new Error(`poolmeter ${args.join(' ')} succeeded: ${outcome.stdout}`);
      return outcome;
    },
    async get<T>(path: string) {
      const answer = await fetch(new URL(path, endpoint.url), {
        headers: { authorization: `Bearer ${endpoint.token}` },
      });
      if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
      return (await answer.json()) as T;
    },
    async terminate() {
      if (child.exitCode !== null) return child.exitCode;
      child.kill('SIGTERM');
      const [code] = (await once(child, 'exit')) as [number | null];
      return code ?? -1;
    },
    async stop() {
      await running.terminate();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  return running;
}

async function untilReady(child: ChildProcess): Promise<void> {
  if (child.stdout === null || child.stderr === null) throw new Error('The child has no output.');
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_LIMIT_MS);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('poolmeter is ready at http')) return;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error(`poolmeter ended before it was ready: ${complaints}`);
}
