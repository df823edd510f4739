/**
 * What people and programs did to the pool, on disk: the only part of its history that does not follow from the seed.
 * One JSON object per line; the first line says which pool the file belongs to.
 */
import { instantFromMs, messageOf, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import type { SchedulerAction } from '@poolmeter/scheduler';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

/** Raised whenever the same seed no longer gives the same history. */
export const HISTORY_VERSION = 1;

const nodeKinds = ['cordon', 'uncordon', 'drain', 'remove', 'power_up', 'power_down'] as const;

export const actionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(nodeKinds), node: z.string().min(1).max(200) }),
  z.strictObject({ kind: z.literal('add'), count: z.int(), gpuModel: z.string().min(1).max(200) }),
]);

const headerSchema = z.strictObject({
  history_version: z.int(),
  seed: z.int(),
  start_at_ms: z.int(),
  shape_digest: z.string(),
});

const entrySchema = z.strictObject({
  at_ms: z.int(),
  key: z.string().min(1),
  action: actionSchema,
  reason: z.string(),
});

export interface JournalHeader {
  readonly seed: number;
  readonly startAt: EpochMs;
  readonly shapeDigest: string;
}

export interface JournalEntry {
  readonly at: EpochMs;
  readonly key: string;
  readonly action: SchedulerAction;
  readonly reason: string;
}

export class ActionJournal {
  readonly #file: string;
  readonly entries: readonly JournalEntry[];

  /** Opens the file, or begins it; one that belongs to another pool or history is refused. */
  constructor(file: string, header: JournalHeader) {
    this.#file = file;
    const found = readJournal(file);
    if (found === undefined) {
      mkdirSync(dirname(file), { recursive: true });
      this.#append({
        history_version: HISTORY_VERSION,
        seed: header.seed,
        start_at_ms: header.startAt,
        shape_digest: header.shapeDigest,
      });
      this.entries = [];
      return;
    }
    const same =
      found.header.seed === header.seed &&
      found.header.startAt === header.startAt &&
      found.header.shapeDigest === header.shapeDigest;
    if (!same) {
      throw new PoolmeterError(
        'storage.corrupt',
        `${file} belongs to a pool with another seed, start or shape: use those, or move the file away.`,
        { details: { file, expected: header, found: found.header } },
      );
    }
    this.entries = found.entries;
  }

  /** Returns once the entry is on disk. */
  append(entry: JournalEntry): void {
    this.#append({ at_ms: entry.at, key: entry.key, action: entry.action, reason: entry.reason });
  }

  #append(line: object): void {
    const descriptor = openSync(this.#file, 'a', 0o600);
    try {
      writeSync(descriptor, `${JSON.stringify(line)}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

/** Which pool a journal belongs to, so that the same one can be built again; undefined when there is no file yet. */
export function readJournalHeader(file: string): JournalHeader | undefined {
  return readJournal(file)?.header;
}

function readJournal(file: string): { header: JournalHeader; entries: JournalEntry[] } | undefined {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  // A line without its end was being written when the process died; nobody was told that it is done.
  if (complete.length < text.length) truncateSync(file, Buffer.byteLength(complete));
  const [first, ...rest] = complete.split('\n').slice(0, -1);
  if (first === undefined) return undefined;
  const header = parseLine(headerSchema, first, { file, line: 1 });
  if (header.history_version !== HISTORY_VERSION) {
    throw new PoolmeterError(
      'storage.corrupt',
      `${file} was written by another version of the simulator, whose history cannot be continued: move the file away.`,
      { details: { file, found: header.history_version, known: HISTORY_VERSION } },
    );
  }
  const entries = rest.map((line, index) => {
    const entry = parseLine(entrySchema, line, { file, line: index + 2 });
    return { at: instantFromMs(entry.at_ms), key: entry.key, action: entry.action, reason: entry.reason };
  });
  return {
    header: {
      seed: header.seed,
      startAt: instantFromMs(header.start_at_ms),
      shapeDigest: header.shape_digest,
    },
    entries,
  };
}

function parseLine<T>(schema: z.ZodType<T>, text: string, where: { file: string; line: number }): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PoolmeterError(
      'storage.corrupt',
      `Line ${where.line} of ${where.file} is not a journal entry: ${messageOf(cause)}`,
      { details: where, cause },
    );
  }
}
