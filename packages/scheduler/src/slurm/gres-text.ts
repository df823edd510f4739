/** Slurm's words for GPUs: `gpu:h100:8`, `gres:gpu:h100:8`, `gres/gpu:8`, `gpu:h100:2(IDX:0,3),gpu:a100:1(IDX:6)`. */
import { PoolmeterError } from '@poolmeter/domain';

export interface GpuCount {
  /** The type of gres.conf, such as `h100`; undefined where any will do. */
  readonly type: string | undefined;
  readonly count: number;
}

export interface GpuIndexes extends GpuCount {
  readonly indexes: readonly number[];
}

function unreadable(what: string): PoolmeterError {
  return new PoolmeterError('wire.malformed', `Slurm wrote "${what}" for GPUs, which cannot be read.`, {
    retriable: true,
  });
}

/** Commas in brackets separate indexes, the others entries. */
function entriesOf(text: string): string[] {
  return text.split(/,(?![^(]*\))/).filter((entry) => entry !== '' && entry !== '(null)' && entry !== 'N/A');
}

const SUFFIX: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2 };

/** The GPUs in a text; other generic resources (licences, shards, MPS) are left out. */
export function gpuCounts(text: string): GpuCount[] {
  return entriesOf(text).flatMap((entry) => {
    const words = (entry.split('(')[0] ?? '').replace(/^gres[:/]/, '').split(/[:=]/);
    if (words[0] !== 'gpu') return [];
    const last = /^(\d+)([KM]?)$/.exec(words.at(-1) ?? '');
    const rest = last === null ? words.slice(1) : words.slice(1, -1);
    const type = rest.find((word) => word !== 'no_consume');
    const count = last === null ? 1 : Number(last[1]) * (SUFFIX[last[2] ?? ''] ?? 1);
    return count === 0 ? [] : [{ type, count }];
  });
}

/** Which GPUs of one node a job holds. Throws `wire.malformed` when Slurm counts GPUs without naming them. */
export function gpuIndexes(detail: string): GpuIndexes[] {
  return entriesOf(detail).flatMap((entry) => {
    const [counted] = gpuCounts(entry);
    if (counted === undefined) return [];
    const written = /\(IDX:([0-9,-]+)\)/.exec(entry)?.[1];
    if (written === undefined) throw unreadable(entry);
    const indexes = numbersOf(written);
    if (indexes.length !== counted.count) throw unreadable(entry);
    return [{ ...counted, indexes }];
  });
}

const MAX_RANGE = 1_000_000;

/** `0-3,7` → 0, 1, 2, 3, 7; `0-8:4` → 0, 4, 8. */
export function numbersOf(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const match = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(part);
    if (match === null) throw unreadable(text);
    const [first, last, step] = [Number(match[1]), Number(match[2] ?? match[1]), Number(match[3] ?? 1)];
    if (last < first || step < 1 || last - first > MAX_RANGE) throw unreadable(text);
    return Array.from(
      { length: Math.floor((last - first) / step) + 1 },
      (_none, index) => first + index * step,
    );
  });
}
