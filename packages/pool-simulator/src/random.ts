/**
 * Randomness that is a function of its seed alone. Streams draw in order (arrivals, durations); hashes answer for one
 * place directly (sensor noise at an instant), so that telemetry can be asked for in any order.
 */

/** A well mixed 32-bit hash of two integers (the finalizer of MurmurHash3 over both). */
export function hash32(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul((b | 0) + 0x7f4a7c15, 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A 32-bit hash of text (FNV-1a, then mixed). */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return hash32(h, text.length);
}

/** A number in [0, 1) that belongs to this seed and place. */
export function unitAt(seed: number, place: number): number {
  return hash32(seed, place) / 4_294_967_296;
}

/** A number in [-1, 1) that belongs to this seed and place. */
export function signedAt(seed: number, place: number): number {
  return unitAt(seed, place) * 2 - 1;
}

/** Hexadecimal digits that belong to this seed, for UUIDs and boot ids. */
export function hexDigitsOf(seed: number, digits: number): string {
  let text = '';
  for (let i = 0; text.length < digits; i++) text += hash32(seed, i).toString(16).padStart(8, '0');
  return text.slice(0, digits);
}

/** `8-4-4-4-12` hexadecimal digits that belong to this seed. */
export function uuidOf(seed: number): string {
  const hex = hexDigitsOf(seed, 32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Draws in order; two streams of one name and seed draw the same. */
export class RandomStream {
  readonly #seed: number;
  #drawn = 0;

  constructor(seed: number, name: string) {
    this.#seed = hash32(seed, hashText(name));
  }

  /** Uniform in [0, 1). */
  unit(): number {
    this.#drawn += 1;
    return unitAt(this.#seed, this.#drawn);
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.unit());
  }

  /** Log-normal with this median; `spread` is the standard deviation of the logarithm. */
  logNormal(median: number, spread: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.unit()));
    return median * Math.exp(spread * radius * Math.cos(2 * Math.PI * this.unit()));
  }

  /** One of the choices, as likely as its weight says. */
  pick<T>(choices: readonly (readonly [T, number])[]): T {
    const total = choices.reduce((sum, [, weight]) => sum + weight, 0);
    let left = this.unit() * total;
    for (const [choice, weight] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    const last = choices.at(-1);
    if (last === undefined) throw new Error('A pick needs at least one choice.');
    return last[0];
  }
}
