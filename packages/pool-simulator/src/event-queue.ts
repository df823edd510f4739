/** What is going to happen, in order of time; equal instants keep the order in which they were scheduled. */
export interface ScheduledEvent {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A binary heap. */
export class EventQueue {
  readonly #heap: ScheduledEvent[] = [];
  #scheduled = 0;

  schedule(at: number, run: () => void): void {
    this.#scheduled += 1;
    const event = { at, order: this.#scheduled, run };
    let index = this.#heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = this.#heap[parent] as ScheduledEvent;
      if (!isBefore(event, above)) break;
      this.#heap[index] = above;
      index = parent;
    }
    this.#heap[index] = event;
  }

  /** The next event if it is due at `until` or earlier. */
  takeDue(until: number): ScheduledEvent | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > until) return undefined;
    const last = this.#heap.pop() as ScheduledEvent;
    if (this.#heap.length > 0) this.#sinkFromTop(last);
    return first;
  }

  #sinkFromTop(event: ScheduledEvent): void {
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let child = this.#heap[left];
      let at = left;
      const other = this.#heap[right];
      if (child !== undefined && other !== undefined && isBefore(other, child)) {
        child = other;
        at = right;
      }
      if (child === undefined || !isBefore(child, event)) break;
      this.#heap[index] = child;
      index = at;
    }
    this.#heap[index] = event;
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
