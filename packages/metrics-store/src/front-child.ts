/** One life of the child process that is the embedded ClickHouse: forked, told how to start, watched until it ends. */
import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { childMessageSchema, type StartMessage } from './front/messages.js';

export interface FrontChild {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the process has ended, however it did. */
  readonly ended: Promise<ChildEnd>;
  /** Asks it to stop and kills it when it has not within `limitMs`. */
  stop(limitMs: number): Promise<void>;
}

export interface ChildEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The child did not get ready; what it said about it. */
export class ChildStartFault extends Error {
  override readonly name = 'ChildStartFault';
  /** The system's code such as EADDRINUSE, '' when there is none. */
  readonly code: string;
  /** The last lines that it wrote to stderr: the engine explains itself there. */
  readonly stderr: string;

  constructor(code: string, message: string, stderr: string) {
    super(message);
    this.code = code;
    this.stderr = stderr;
  }
}

export interface ForkOptions {
  readonly start: StartMessage;
  readonly startLimitMs: number;
  readonly onLine: (line: string) => void;
  readonly onFault: (message: string) => void;
}

/** Always what was built: the child runs without a loader for TypeScript. */
const CHILD = new URL('../dist/front-main.js', import.meta.url);
/** Each running query holds one thread of the pool; Node's default is 4. */
const CHILD_ENVIRONMENT = { UV_THREADPOOL_SIZE: '32', TZ: 'UTC' };
const KEPT_LINES = 20;

export async function forkFront(options: ForkOptions): Promise<FrontChild> {
  const child = fork(CHILD, {
    env: CHILD_ENVIRONMENT,
    // A group of its own: Ctrl-C in the terminal must not stop it before its users are done.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [],
  });
  const stderr = keepLastLines(child, options.onLine);
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', () => resolve({ exitCode: null, signal: null }));
  });
  try {
    const port = await untilReady(child, options, ended);
    return { pid: child.pid ?? 0, port, ended, stop: (limitMs) => stopChild(child, ended, limitMs) };
  } catch (fault) {
    child.kill('SIGKILL');
    await ended;
    throw fault instanceof ChildStartFault ? fault : new ChildStartFault('', String(fault), stderr());
  } finally {
    child.on('error', (fault) => options.onFault(fault.message));
  }

  function untilReady(
    process: ChildProcess,
    { start, startLimitMs, onFault }: ForkOptions,
    end: Promise<ChildEnd>,
  ) {
    return new Promise<number>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new ChildStartFault('', `it was not ready after ${startLimitMs} ms`, stderr())),
        startLimitMs,
      );
      process.on('message', (received) => {
        const message = childMessageSchema.parse(received);
        if (message.kind === 'fault') onFault(message.message);
        if (message.kind === 'ready') resolve(message.port);
        if (message.kind === 'failed') reject(new ChildStartFault(message.code, message.message, stderr()));
      });
      void end.then(({ exitCode, signal }) => {
        clearTimeout(late);
        reject(
          new ChildStartFault('', `it ended with ${signal ?? `exit code ${exitCode ?? '?'}`}`, stderr()),
        );
      });
      process.send(start, (fault) => {
        if (fault !== null) reject(new ChildStartFault('', fault.message, stderr()));
      });
    });
  }
}

function keepLastLines(child: ChildProcess, onLine: (line: string) => void): () => string {
  const lines: string[] = [];
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (lines.push(line) > KEPT_LINES) lines.shift();
      onLine(line);
    });
  }
  return () => lines.join('\n');
}

async function stopChild(child: ChildProcess, ended: Promise<ChildEnd>, limitMs: number): Promise<void> {
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), limitMs);
  await ended;
  clearTimeout(kill);
}
