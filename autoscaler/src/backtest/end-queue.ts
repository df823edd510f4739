/** A binary heap of what ends when, in flat arrays. */
export class EndQueue {
  readonly #at: number[] = [];
  readonly #what: number[] = [];

  get size(): number {
    return this.#at.length;
  }

  /** Infinity when empty. */
  get nextS(): number {
    return this.#at[0] ?? Infinity;
  }

  push(atS: number, what: number): void {
    let index = this.#at.length;
    this.#at.push(atS);
    this.#what.push(what);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((this.#at[parent] ?? 0) <= atS) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#at[index] = atS;
    this.#what[index] = what;
  }

  /** -1 when empty. */
  pop(): number {
    const top = this.#what[0] ?? -1;
    const atS = this.#at.pop();
    const what = this.#what.pop();
    const size = this.#at.length;
    if (atS === undefined || what === undefined || size === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && (this.#at[child + 1] ?? 0) < (this.#at[child] ?? 0)) child += 1;
      if ((this.#at[child] ?? 0) >= atS) break;
      this.#move(child, index);
      index = child;
    }
    this.#at[index] = atS;
    this.#what[index] = what;
    return top;
  }

  #move(from: number, to: number): void {
    this.#at[to] = this.#at[from] ?? 0;
    this.#what[to] = this.#what[from] ?? 0;
  }
}
