/**
 * The nodes of a simulated pool, by how many of their GPUs are free: a job goes to the fullest node that holds it. Jobs
 * that need more than a node take whole nodes and one for the rest, all or nothing.
 */
export class Fleet {
  readonly perNode: number;
  /** Nodes with so many free GPUs; the last one is the nodes without any work. */
  readonly #byFree: number[][];
  readonly #place: number[] = [];
  readonly #free: number[] = [];
  readonly #idleSinceS: number[] = [];
  readonly #unused: number[] = [];
  nodes = 0;
  usedGpus = 0;

  constructor(perNode: number) {
    this.perNode = perNode;
    this.#byFree = Array.from({ length: perNode + 1 }, () => []);
  }

  get freeGpus(): number {
    return this.nodes * this.perNode - this.usedGpus;
  }

  /** How many nodes have exactly so many free GPUs. */
  withFree(free: number): number {
    return this.#byFree[free]?.length ?? 0;
  }

  get idleNodes(): readonly number[] {
    return this.#byFree[this.perNode] ?? [];
  }

  isIdle(node: number): boolean {
    return this.#free[node] === this.perNode;
  }

  idleSinceS(node: number): number {
    return this.#idleSinceS[node] ?? 0;
  }

  addNode(nowS: number): number {
    const node = this.#unused.pop() ?? this.#free.length;
    this.#free[node] = this.perNode;
    this.#idleSinceS[node] = nowS;
    this.#enter(node, this.perNode);
    this.nodes += 1;
    return node;
  }

  /** Only a node without work can go. */
  removeNode(node: number): void {
    this.#leave(node, this.perNode);
    this.#unused.push(node);
    this.nodes -= 1;
  }

  /** The nodes that a job got, or undefined when it does not fit now. */
  place(gpus: number): number[] | undefined {
    const whole = Math.floor(gpus / this.perNode);
    const rest = gpus - whole * this.perNode;
    const idle = this.withFree(this.perNode);
    if (idle < whole) return undefined;
    const fit = rest === 0 ? -1 : this.#tightest(rest);
    if (rest > 0 && (fit < 0 || (fit === this.perNode && idle <= whole))) return undefined;
    const taken: number[] = [];
    for (let count = 0; count < whole; count += 1) taken.push(this.#takeFrom(this.perNode, this.perNode));
    if (rest > 0) taken.push(this.#takeFrom(fit, rest));
    this.usedGpus += gpus;
    return taken;
  }

  /** Gives back what `place` gave for so many GPUs. */
  release(taken: readonly number[], gpus: number, nowS: number): void {
    let left = gpus;
    for (const node of taken) {
      const here = Math.min(left, this.perNode);
      left -= here;
      const before = this.#free[node] ?? 0;
      this.#leave(node, before);
      this.#free[node] = before + here;
      this.#enter(node, before + here);
      if (before + here === this.perNode) this.#idleSinceS[node] = nowS;
    }
    this.usedGpus -= gpus;
  }

  #tightest(gpus: number): number {
    for (let free = gpus; free <= this.perNode; free += 1) if (this.withFree(free) > 0) return free;
    return -1;
  }

  #takeFrom(free: number, gpus: number): number {
    const list = this.#byFree[free] ?? [];
    const node = list[list.length - 1] ?? 0;
    this.#leave(node, free);
    this.#free[node] = free - gpus;
    this.#enter(node, free - gpus);
    return node;
  }

  #enter(node: number, free: number): void {
    const list = this.#byFree[free] ?? [];
    this.#place[node] = list.length;
    list.push(node);
  }

  #leave(node: number, free: number): void {
    const list = this.#byFree[free] ?? [];
    const last = list.pop() ?? node;
    if (last === node) return;
    const place = this.#place[node] ?? 0;
    list[place] = last;
    this.#place[last] = place;
  }
}
