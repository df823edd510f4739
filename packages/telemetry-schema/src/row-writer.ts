const TWO_TO_32 = 2 ** 32;
const MAX_KEPT_TEXTS = 4_096;

/** Writes RowBinary (little endian) into one growing buffer. */
export class RowWriter {
  #bytes: Buffer;
  #length = 0;
  readonly #texts = new Map<string, Buffer>();

  constructor(initialBytes: number) {
    this.#bytes = Buffer.allocUnsafe(Math.max(64, initialBytes));
  }

  get length(): number {
    return this.#length;
  }

  /** Two halves instead of a bigint, which would cost more than the rest of the row's numbers. */
  int64(value: number): void {
    const high = Math.floor(value / TWO_TO_32);
    this.#reserve(8);
    this.#length = this.#bytes.writeUInt32LE(value - high * TWO_TO_32, this.#length);
    this.#length = this.#bytes.writeInt32LE(high, this.#length);
  }

  /** Up to 2⁵³ − 1, or the maximum of the type. */
  uint64(value: number | 'maximum'): void {
    this.#reserve(8);
    const high = value === 'maximum' ? TWO_TO_32 - 1 : Math.floor(value / TWO_TO_32);
    const low = value === 'maximum' ? TWO_TO_32 - 1 : value - high * TWO_TO_32;
    this.#length = this.#bytes.writeUInt32LE(low, this.#length);
    this.#length = this.#bytes.writeUInt32LE(high, this.#length);
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#length = this.#bytes.writeUInt32LE(value, this.#length);
  }

  uint16(value: number): void {
    this.#reserve(2);
    this.#length = this.#bytes.writeUInt16LE(value, this.#length);
  }

  uint8(value: number): void {
    this.#reserve(1);
    this.#length = this.#bytes.writeUInt8(value, this.#length);
  }

  int8(value: number): void {
    this.#reserve(1);
    this.#length = this.#bytes.writeInt8(value, this.#length);
  }

  /** LEB128 length, then UTF-8. Names repeat from row to row, so that their bytes are kept. */
  string(text: string): void {
    let bytes = this.#texts.get(text);
    if (bytes === undefined) {
      bytes = textBytes(text);
      if (this.#texts.size < MAX_KEPT_TEXTS) this.#texts.set(text, bytes);
    }
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What was written so far; the writer must not be used after it. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(byteCount: number): void {
    if (this.#length + byteCount <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + byteCount));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

function textBytes(text: string): Buffer {
  const utf8 = Buffer.from(text, 'utf8');
  const length: number[] = [];
  let rest = utf8.length;
  while (rest >= 0x80) {
    length.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  length.push(rest);
  return Buffer.concat([Buffer.from(length), utf8]);
}
