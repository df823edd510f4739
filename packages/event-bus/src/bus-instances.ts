/**
 * Which processes share a log and are alive. Each writes a beat while it has consumers; another one counts as gone
 * when its process is (seen at once on the same machine) or when its beat stands still for the session time.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import type { JsonTable, LmdbEnvironment } from './lmdb-environment.js';

interface InstanceRecord {
  readonly beat: number;
  /** Host, boot and process namespace: process ids can be compared only within one. */
  readonly place: string;
  readonly pid: number;
  /** When the process started, in clock ticks since boot: a process id may be used again. */
  readonly startedTicks: string;
}

export const BEAT_MS = 2_000;
export const SESSION_MS = 10_000;

export class BusInstances {
  readonly id = randomUUID();
  readonly #environment: LmdbEnvironment;
  readonly #table: JsonTable<InstanceRecord>;
  readonly #seen = new Map<string, { beat: number; changedAtMs: number }>();
  #beat = 0;

  constructor(environment: LmdbEnvironment) {
    this.#environment = environment;
    this.#table = environment.jsonTable('instances');
  }

  async beat(): Promise<void> {
    this.#beat += 1;
    const { pid } = process;
    const record = { beat: this.#beat, place: placeOf(), pid, startedTicks: startedTicksOf(pid) ?? '' };
    await this.#environment.write(() => {
      this.#table.putSync(this.id, record);
    });
  }

  async forget(): Promise<void> {
    await this.#environment.write(() => this.#table.removeSync(this.id));
  }

  isAlive(id: string): boolean {
    if (id === this.id) return true;
    const record = this.#table.get(id);
    if (record === undefined) return false;
    if (record.place === placeOf() && record.startedTicks !== '') {
      if (startedTicksOf(record.pid) !== record.startedTicks) return false;
    }
    const now = performance.now();
    const seen = this.#seen.get(id);
    if (seen?.beat === record.beat) return now - seen.changedAtMs < SESSION_MS;
    this.#seen.set(id, { beat: record.beat, changedAtMs: now });
    return true;
  }

  /** Called inside a write, with members that are gone, so that the table does not grow with every crash. */
  drop(id: string): void {
    this.#table.removeSync(id);
    this.#seen.delete(id);
  }
}

function placeOf(): string {
  return [hostname(), textOf('/proc/sys/kernel/random/boot_id'), namespaceOf()].join(' ');
}

function namespaceOf(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return ''; // Not Linux: then beats alone decide, because startedTicks is empty too.
  }
}

/** undefined when there is no such process, or when it has ended and only waits for its parent. */
function startedTicksOf(pid: number): string | undefined {
  const stat = textOf(`/proc/${pid}/stat`);
  // The command name in parentheses may itself contain spaces and parentheses; what follows the last one is regular.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return ''; // Absent on other systems, and for a process that has ended.
  }
}
