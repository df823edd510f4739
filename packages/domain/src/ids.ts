import { hash, randomBytes } from 'node:crypto';
import type { Clock } from './clock.js';
import { invariant } from './errors.js';

/** Where new identifiers come from; injected so that tests and replays are repeatable. */
export interface IdSource {
  /** A new unique id with a readable prefix, sortable by creation time: `inc_0192…`. */
  next(prefix: string): string;
}

/** UUIDv7 layout (RFC 9562 §5.7): 48 bits of Unix milliseconds, then randomness. */
export function createIdSource(clock: Clock): IdSource {
  return {
    next(prefix) {
      const time = Math.max(0, clock.now()).toString(16).padStart(12, '0');
      const random = randomBytes(10);
      random[0] = ((random[0] ?? 0) & 0x0f) | 0x70;
      random[2] = ((random[2] ?? 0) & 0x3f) | 0x80;
      return `${prefix}_${time}${random.toString('hex')}`;
    },
  };
}

/** An id that follows from the facts themselves: the same facts give the same id however often they are seen. */
export function idFromFacts(prefix: string, ...facts: readonly (string | number | bigint)[]): string {
  let text = '';
  for (const fact of facts) {
    const own = String(fact);
    text += `${own.length}:${own};`;
  }
  return `${prefix}_${hash('sha256', text).slice(0, 32)}`;
}

/** SHA-256 of canonical JSON (keys sorted, no spaces, bigint as text): the digest of pinned inputs. */
export function digestOf(value: unknown): string {
  return hash('sha256', canonicalJson(value));
}

/** Refuses what JSON would drop without a word (NaN, Map, Set): two different inputs must not share a digest. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (typeof inner === 'bigint') return inner.toString();
    const lossy =
      (typeof inner === 'number' && !Number.isFinite(inner)) || inner instanceof Map || inner instanceof Set;
    invariant(!lossy, `"${key}" has no exact JSON form.`);
    if (inner !== null && typeof inner === 'object' && !Array.isArray(inner)) {
      return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
    }
    return inner;
  });
}
