/** Which dead letters of a partition are done, in the metadata of a commit: `done:5-9,12-12`, offsets, inclusive. */
type Span = readonly [first: bigint, last: bigint];

/** Kafka takes 4096 characters of metadata. */
const NOTE_CHARS_MAX = 3_800;

export class DoneLetters {
  readonly #spans: Span[];
  /** The first letter that is not done. */
  #next: bigint;

  constructor(next: bigint, metadata: string) {
    this.#next = next;
    this.#spans = parseSpans(metadata);
  }

  get next(): bigint {
    return this.#next;
  }

  get note(): string {
    return this.#spans.length === 0 ? '' : `done:${this.#spans.map((span) => span.join('-')).join(',')}`;
  }

  /** False when one more separate span might not fit the note. */
  get hasRoom(): boolean {
    return this.note.length < NOTE_CHARS_MAX;
  }

  has(offset: bigint): boolean {
    return offset < this.#next || this.#spans.some(([first, last]) => first <= offset && offset <= last);
  }

  /** Offsets are added in ascending order within one run, so that they join the last span or follow it. */
  add(offset: bigint): void {
    if (this.has(offset)) return;
    const at = this.#spans.findIndex(([first]) => first > offset);
    this.#spans.splice(at === -1 ? this.#spans.length : at, 0, [offset, offset]);
    this.#join();
  }

  #join(): void {
    for (let at = 0; at + 1 < this.#spans.length;) {
      const [span, following] = [this.#spans[at], this.#spans[at + 1]];
      if (span === undefined || following === undefined || span[1] + 1n < following[0]) at += 1;
      else this.#spans.splice(at, 2, [span[0], following[1]]);
    }
    const [lowest] = this.#spans;
    if (lowest?.[0] !== this.#next) return;
    this.#next = lowest[1] + 1n;
    this.#spans.shift();
  }
}

function parseSpans(metadata: string): Span[] {
  if (!/^done:\d+-\d+(,\d+-\d+)*$/.test(metadata)) return [];
  return metadata
    .slice('done:'.length)
    .split(',')
    .map((text) => {
      const [first = '', last = ''] = text.split('-');
      return [BigInt(first), BigInt(last)] as const;
    });
}
