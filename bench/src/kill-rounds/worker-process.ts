/** One pipeline as a process of its own, which can be killed, frozen and started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../pipeline/dist/main.js', import.meta.url));
const STOP_LIMIT_MS = 30_000;

export type WorkerEnvironment = Readonly<Record<string, string>>;

export class WorkerProcess {
  readonly #environment: WorkerEnvironment;
  readonly #onLine: (text: string) => void;
  #child: ChildProcess | undefined;

  constructor(environment: WorkerEnvironment, onLine: (text: string) => void) {
    this.#environment = environment;
    this.#onLine = onLine;
  }

  /** 0 while it does not run. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  start(): void {
    if (this.#child !== undefined) return;
    const child = spawn(process.execPath, [MAIN], {
      env: { PATH: process.env['PATH'], ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.setEncoding('utf8').on('data', this.#onLine);
    child.stderr.setEncoding('utf8').on('data', this.#onLine);
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Asks it to hand over and end, and waits for that. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(timer);
    this.#child = undefined;
  }
}
