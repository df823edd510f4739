/** When nodes entered their states, for schedulers that do not date them; and boots that take too long. */
import { type EpochMs } from '@poolmeter/domain';
import type { NodeState, SchedulerNode } from './scheduler.js';

/** Remembers the nodes of the last look. After a restart a node is as old as the scheduler says, else as this look. */
export class SinceStates {
  readonly #bootTimeoutMs: number;
  #known = new Map<string, { state: NodeState; since: EpochMs }>();

  constructor(options: { bootTimeoutMs: number }) {
    this.#bootTimeoutMs = options.bootTimeoutMs;
  }

  /** The nodes with the instants at which they were first seen so; a boot that is overdue makes its node `down`. */
  note(nodes: readonly SchedulerNode[], at: EpochMs): SchedulerNode[] {
    const before = this.#known;
    this.#known = new Map();
    return nodes.map((node) => {
      const known = before.get(node.node);
      const since = known?.state === node.state && known.since < node.since ? known.since : node.since;
      this.#known.set(node.node, { state: node.state, since });
      if (node.state !== 'booting' || at - since < this.#bootTimeoutMs) return { ...node, since };
      const reason = `It did not boot within ${this.#bootTimeoutMs / 1_000} s.`;
      return { ...node, since, state: 'down', reason };
    });
  }
}
