/** What can be told about another process: whether it runs, since when, and what it was started as. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Clock } from '@poolmeter/domain';

/** A process that another user owns counts as running. A zombie does too: its parent has not read its end yet. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** An opaque mark that differs when the operating system gave the same pid to another process. '' = not running. */
export async function processStartedAt(pid: number): Promise<string> {
  if (process.platform !== 'linux') return (await psField(pid, 'lstart')).trim();
  const text = await readProc(pid, 'stat');
  // Field 22, counted after the name in brackets, which may itself contain spaces and brackets.
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** Its command line, arguments separated by spaces; '' when it does not run, or is a zombie. */
export async function commandLineOf(pid: number): Promise<string> {
  if (process.platform !== 'linux') return psField(pid, 'command');
  return (await readProc(pid, 'cmdline')).replaceAll('\0', ' ');
}

/** True once it has ended; false when it still runs after `limitMs`. */
export async function waitForEnd(pid: number, options: { limitMs: number; clock: Clock }): Promise<boolean> {
  const deadline = options.clock.now() + options.limitMs;
  while (isRunning(pid) && (await commandLineOf(pid)) !== '') {
    if (options.clock.now() >= deadline) return false;
    await options.clock.sleep(10);
  }
  return true;
}

async function readProc(pid: number, file: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8');
  } catch (fault) {
    const code = (fault as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw fault;
  }
}

async function psField(pid: number, field: string): Promise<string> {
  // ps exits 1 when there is no such process.
  return promisify(execFile)('ps', ['-o', `${field}=`, '-p', String(pid)]).then(
    ({ stdout }) => stdout,
    () => '',
  );
}
