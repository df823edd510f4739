/** The `poolmeter` process: hands the process's parts to the command line and leaves with its exit code. */
import { systemClock } from '@poolmeter/domain';
import type { Terminal } from './command-context.js';
import { runCommandLine } from './program.js';

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (fault: NodeJS.ErrnoException) => {
    // Whoever read us has read enough: `poolmeter leases list | head`.
    if (fault.code === 'EPIPE') process.exit();
    throw fault;
  });
}

const terminal: Terminal = {
  write: (text) => void process.stdout.write(text),
  writeError: (text) => void process.stderr.write(text),
  isTerminal: process.stdout.isTTY,
  get columns() {
    return process.stdout.columns;
  },
  get rows() {
    return process.stdout.rows;
  },
  ...(process.stdin.isTTY ? { listenToKeys } : {}),
};

function listenToKeys(onKey: (key: string) => void): () => void {
  const listen = (data: Buffer) => {
    for (const key of data.toString('utf8')) onKey(key);
  };
  process.stdin.setRawMode(true).on('data', listen).resume();
  return () => {
    process.stdin.off('data', listen).setRawMode(false).pause();
  };
}

process.exitCode = await runCommandLine(process.argv.slice(2), {
  env: process.env,
  terminal,
  clock: systemClock,
});
