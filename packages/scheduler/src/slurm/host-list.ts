/** Slurm's short form of many host names: `gpu[1-3,07-09],login1` and, with several brackets, `rack[1-2]n[1-4]`. */
import { PoolmeterError } from '@poolmeter/domain';

const MAX_HOSTS = 100_000;

function unreadable(text: string): PoolmeterError {
  return new PoolmeterError('wire.malformed', `Slurm wrote the host list "${text}", which cannot be read.`, {
    retriable: true,
  });
}

/** The names in Slurm's order, in which it lists what a job has on each node. */
export function hostsOf(text: string): string[] {
  if (text === '' || text === '(null)') return [];
  const hosts = text.split(/,(?![^[]*\])/).flatMap((entry) => expand(entry, text));
  if (hosts.length > MAX_HOSTS) throw unreadable(text);
  return hosts;
}

function expand(entry: string, whole: string): string[] {
  const match = /^([^[\]]*)\[([^[\]]+)\](.*)$/.exec(entry);
  if (match === null) {
    if (entry === '' || /[[\]]/.test(entry)) throw unreadable(whole);
    return [entry];
  }
  const [, before = '', ranges = '', after = ''] = match;
  const rest = after === '' ? [''] : expand(after, whole);
  return ranges.split(',').flatMap((range) => {
    const ends = /^(\d+)(?:-(\d+))?$/.exec(range);
    if (ends === null) throw unreadable(whole);
    const [first = '', last = first] = [ends[1], ends[2]];
    const count = Number(last) - Number(first) + 1;
    if (count < 1 || count > MAX_HOSTS) throw unreadable(whole);
    // Leading zeros belong to the name.
    return Array.from({ length: count }, (_none, index) =>
      String(Number(first) + index).padStart(first.length, '0'),
    ).flatMap((number) => rest.map((tail) => `${before}${number}${tail}`));
  });
}
