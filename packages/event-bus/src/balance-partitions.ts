/** Who should own which partition: pure, so that every member comes to the same answer from the same record. */
import { PoolmeterError } from '@poolmeter/domain';

export interface OwnedPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface BalanceInput {
  /** Live members and the topics that they read. */
  readonly members: ReadonlyMap<string, readonly string[]>;
  readonly partitionsByTopic: ReadonlyMap<string, number>;
  /** Present owners by `partitionName`; owners that are no members count as none. */
  readonly owners: ReadonlyMap<string, string>;
}

export function partitionName(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

export function notOwned(group: string, { topic, partition }: OwnedPartition): PoolmeterError {
  return new PoolmeterError(
    'bus.rejected',
    `${partitionName(topic, partition)} is not assigned to this consumer of ${group}.`,
    { details: { group, topic, partition } },
  );
}

/**
 * Within each topic the loads differ by at most one, and nothing moves that does not have to: a partition changes its
 * owner only when the owner is gone or has two more than another. Spare ones go to whom owns least in all.
 */
export function balancePartitions(input: BalanceInput): Map<string, string> {
  const target = new Map<string, string>();
  const total = new Map([...input.members.keys()].sort().map((member) => [member, 0]));
  for (const topic of [...input.partitionsByTopic.keys()].sort()) {
    const readers = [...total.keys()].filter((member) => input.members.get(member)?.includes(topic));
    if (readers.length === 0) continue;
    const held = new Map(readers.map((member): [string, string[]] => [member, []]));
    const free: string[] = [];
    for (let partition = 0; partition < (input.partitionsByTopic.get(topic) ?? 0); partition += 1) {
      const name = partitionName(topic, partition);
      (held.get(input.owners.get(name) ?? '') ?? free).push(name);
    }
    for (const name of free) lightest(held, total).push(name);
    evenOut(held, total);
    for (const [member, names] of held) {
      total.set(member, (total.get(member) ?? 0) + names.length);
      for (const name of names) target.set(name, member);
    }
  }
  return target;
}

function evenOut(held: Map<string, string[]>, total: ReadonlyMap<string, number>): void {
  for (;;) {
    const to = lightest(held, total);
    const from = [...held.values()].reduce((most, names) => (names.length > most.length ? names : most), to);
    const moved = from.length - to.length >= 2 ? from.pop() : undefined;
    if (moved === undefined) return;
    to.push(moved);
  }
}

function lightest(held: ReadonlyMap<string, string[]>, total: ReadonlyMap<string, number>): string[] {
  const weight = ([member, names]: [string, string[]]) => [names.length, total.get(member) ?? 0] as const;
  const [first] = [...held].sort((a, b) => {
    const [inTopicA, inAllA] = weight(a);
    const [inTopicB, inAllB] = weight(b);
    return inTopicA - inTopicB || inAllA - inAllB || (a[0] < b[0] ? -1 : 1);
  });
  return first?.[1] ?? [];
}
