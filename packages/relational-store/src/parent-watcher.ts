/**
 * Stops the server when this process is gone, however it went. A shell holds the other end of a pipe: when the pipe
 * ends without a goodbye, it sends SIGINT (fast shutdown) to the server that it was told of last. A shell costs about
 * one megabyte; a second Node process would cost forty.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { messageOf } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { plainEnvironment } from './data-folder.js';

/** Before it signals, the shell checks that the pid still is a server of this folder ($1). */
const SCRIPT = `
trap '' INT TERM HUP
pid=
while read -r line; do pid=$line; done
[ -n "$pid" ] || exit 0
if [ -r "/proc/$pid/cmdline" ]; then
  command=$(tr '\\0' ' ' < "/proc/$pid/cmdline")
else
  command=$(ps -o command= -p "$pid")
fi
case "$command" in
  *"$1"*) kill -INT "$pid" ;;
esac
`;

const RESTART_PAUSE_MS = 200;

export class ParentWatcher {
  readonly #cluster: string;
  readonly #logger: Logger;
  #shell: ChildProcess | undefined;
  #watched: number | undefined;
  #stopped = false;

  constructor(options: { readonly cluster: string; readonly logger: Logger }) {
    this.#cluster = options.cluster;
    this.#logger = options.logger;
  }

  start(): void {
    // In a process group of its own, so that Ctrl-C in the terminal does not reach it before the orderly stop.
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'poolmeter-postgres-watcher', this.#cluster], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: plainEnvironment,
      cwd: '/',
    });
    this.#shell = shell;
    shell.stdin.on('error', (fault) =>
      this.#logger.warn({ err: fault }, 'The watcher of PostgreSQL is not listening.'),
    );
    shell.once('error', (fault) =>
      this.#logger.error({ error: messageOf(fault) }, 'No watcher of PostgreSQL could be started.'),
    );
    shell.once('exit', () => this.#restart());
    if (this.#watched !== undefined) this.watch(this.#watched);
  }

  /** Names the server to stop; undefined: none. */
  watch(pid: number | undefined): void {
    this.#watched = pid;
    this.#shell?.stdin?.write(`${pid ?? ''}\n`);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.watch(undefined);
    const shell = this.#shell;
    if (shell === undefined || shell.exitCode !== null || shell.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      shell.once('exit', () => resolve());
      shell.stdin?.end();
    });
  }

  #restart(): void {
    if (this.#stopped) return;
    this.#logger.warn({}, 'The watcher of PostgreSQL ended; another one is started.');
    setTimeout(() => {
      if (!this.#stopped) this.start();
    }, RESTART_PAUSE_MS);
  }
}
