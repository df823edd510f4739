/** What other processes cost, as Linux counts it. */
import { readFileSync } from 'node:fs';

/** Linux counts CPU time in hundredths of a second for every user of /proc, whatever the kernel ticks in. */
const TICKS_PER_S = 100;
const PAGE_BYTES = 4_096;
const SAMPLE_EVERY_MS = 50;

/** User and system time of a process since its start. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name may hold spaces; what follows it does not. utime and stime are fields 14 and 15 of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

function residentBytesOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES;
}

export interface UsageWatch {
  /** CPU time of all of them since the watch began, and the most memory that they held together. */
  end(): { readonly cpuSeconds: number; readonly residentBytesMost: number };
}

export function watchUsage(pids: readonly number[]): UsageWatch {
  const sum = (of: (pid: number) => number) => pids.reduce((total, pid) => total + of(pid), 0);
  const before = sum(cpuSecondsOf);
  let most = sum(residentBytesOf);
  let lost: unknown;
  const look = () => {
    try {
      most = Math.max(most, sum(residentBytesOf));
    } catch (fault) {
      // One of them died; the figures of this run mean nothing.
      lost ??= fault;
    }
  };
  const timer = setInterval(look, SAMPLE_EVERY_MS);
  return {
    end: () => {
      clearInterval(timer);
      look();
      if (lost !== undefined) throw new Error('A process ended while it was measured.', { cause: lost });
      return { cpuSeconds: sum(cpuSecondsOf) - before, residentBytesMost: most };
    },
  };
}
