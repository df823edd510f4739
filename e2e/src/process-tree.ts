/** Which processes belong to a running `up`, as Linux's /proc tells it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The processes below this one, at any depth, the nearest first. */
export function descendantsOf(pid: number): number[] {
  const found: number[] = [];
  let level = [pid];
  while (level.length > 0) {
    level = level.flatMap(childrenOf);
    found.push(...level);
  }
  return found;
}

export function childrenOf(pid: number): number[] {
  const tasks = orNothing(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  return tasks.flatMap((task) =>
    (orNothing(() => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')) ?? '')
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  );
}

/** Its arguments separated by spaces; '' when it is gone or was not collected yet. */
export function commandLineOf(pid: number): string {
  return (orNothing(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').replaceAll('\0', ' ');
}

/** Processes that work in this folder or name it, this one left out. */
export function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const command = commandLineOf(Number(name));
      const cwd = orNothing(() => readlinkSync(`/proc/${name}/cwd`)) ?? '';
      return command !== '' && (command.includes(folder) || cwd.startsWith(folder))
        ? [`${name} ${command}`]
        : [];
    });
}

/** Processes end while they are looked at: what cannot be read is no longer there. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
