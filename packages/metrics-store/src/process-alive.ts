import { readFileSync } from 'node:fs';

/** Whether a process runs. One that has ended but that nobody has waited for (a zombie) holds nothing any more. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (fault) {
    // EPERM: it runs and belongs to somebody else.
    return (fault as NodeJS.ErrnoException).code === 'EPERM';
  }
  return !isZombie(pid);
}

function isZombie(pid: number): boolean {
  try {
    // `pid (name) state …`; the name may hold anything, so the state is looked for behind its last parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    // No /proc (macOS), or it ended just now; the next look tells.
    return false;
  }
}
