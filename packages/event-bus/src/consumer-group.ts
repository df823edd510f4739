/** One member's view of a consumer group, kept in a single record that changes only under the write lock. */
import { PoolmeterError } from '@poolmeter/domain';
import { balancePartitions, partitionName, type OwnedPartition } from './balance-partitions.js';
import type { BusInstances } from './bus-instances.js';
import type { JsonTable, LmdbEnvironment } from './lmdb-environment.js';

interface GroupRecord {
  readonly members: Readonly<
    Record<string, { readonly instance: string; readonly topics: readonly string[] }>
  >;
  /** Member by partition name. */
  readonly owners: Readonly<Record<string, string>>;
}

export interface ConsumerGroupOptions {
  readonly environment: LmdbEnvironment;
  readonly instances: BusInstances;
  readonly group: string;
  readonly member: string;
  /** The topics that this member reads at present, in a stable order. */
  readonly topics: () => readonly string[];
  readonly partitionsOf: (topic: string) => number;
}

/** What this member should do next. */
export interface GroupPlan {
  /** Owned by it, wanted elsewhere: flush, then release. */
  readonly release: OwnedPartition[];
  /** Free and meant for it. */
  readonly claim: OwnedPartition[];
}

const EMPTY: GroupRecord = { members: {}, owners: {} };

export class ConsumerGroup {
  readonly #options: ConsumerGroupOptions;
  readonly #table: JsonTable<GroupRecord>;

  constructor(options: ConsumerGroupOptions) {
    this.#options = options;
    this.#table = options.environment.jsonTable('groups');
  }

  /** Becomes a member that reads these topics, and removes members whose process is gone, unless that holds already. */
  async join(): Promise<void> {
    const { member, instances, environment } = this.#options;
    const before = this.#record();
    const topics = [...this.#options.topics()];
    const isMember = before.members[member]?.topics.join() === topics.join();
    if (isMember && this.#gone(before).length === 0) return;
    await environment.write(() => {
      const record = this.#record();
      const gone = this.#gone(record);
      const members = Object.entries(record.members).filter(([id]) => !gone.includes(id));
      const owners = Object.entries(record.owners).filter(([, owner]) => !gone.includes(owner));
      for (const id of gone) instances.drop(record.members[id]?.instance ?? '');
      this.#put({
        members: { ...Object.fromEntries(members), [member]: { instance: instances.id, topics } },
        owners: Object.fromEntries(owners),
      });
    });
  }

  plan(): GroupPlan {
    const { member } = this.#options;
    const record = this.#record();
    const target = this.#target(record);
    const release: OwnedPartition[] = [];
    const claim: OwnedPartition[] = [];
    for (const topic of this.#options.topics()) {
      for (let partition = 0; partition < this.#options.partitionsOf(topic); partition += 1) {
        const name = partitionName(topic, partition);
        const [owner, wanted] = [record.owners[name], target.get(name)];
        if (owner === member && wanted !== member) release.push({ topic, partition });
        if (owner === undefined && wanted === member) claim.push({ topic, partition });
      }
    }
    return { release, claim };
  }

  owns({ topic, partition }: OwnedPartition): boolean {
    return this.#record().owners[partitionName(topic, partition)] === this.#options.member;
  }

  /** Returns those that nobody else was quicker to take. */
  async claim(partitions: readonly OwnedPartition[]): Promise<OwnedPartition[]> {
    const { member, environment } = this.#options;
    return environment.write(() => {
      const record = this.#record();
      if (!(member in record.members)) return [];
      const free = partitions.filter(
        ({ topic, partition }) => !(partitionName(topic, partition) in record.owners),
      );
      const owners = { ...record.owners };
      for (const { topic, partition } of free) owners[partitionName(topic, partition)] = member;
      this.#put({ ...record, owners });
      return free;
    });
  }

  async release(partitions: readonly OwnedPartition[]): Promise<void> {
    const { member, environment } = this.#options;
    const names = new Set(partitions.map(({ topic, partition }) => partitionName(topic, partition)));
    await environment.write(() => {
      const record = this.#record();
      const kept = Object.entries(record.owners).filter(
        ([name, owner]) => owner !== member || !names.has(name),
      );
      this.#put({ ...record, owners: Object.fromEntries(kept) });
    });
  }

  async leave(): Promise<void> {
    const { member, environment } = this.#options;
    await environment.write(() => {
      const { members, owners } = this.#record();
      this.#put({
        members: Object.fromEntries(Object.entries(members).filter(([id]) => id !== member)),
        owners: Object.fromEntries(Object.entries(owners).filter(([, owner]) => owner !== member)),
      });
    });
  }

  /** For use inside a write: a member that lost a partition must not move its group's position. */
  requireOwner(partition: OwnedPartition): void {
    if (this.owns(partition)) return;
    const { group } = this.#options;
    throw new PoolmeterError(
      'bus.rejected',
      `${partition.topic}/${partition.partition} belongs to another consumer of ${group}: its position is not ours to commit.`,
      { details: { group, ...partition } },
    );
  }

  #target(record: GroupRecord): Map<string, string> {
    const members = new Map(Object.entries(record.members).map(([id, { topics }]) => [id, topics]));
    const topics = new Set([...members.values()].flat());
    return balancePartitions({
      members,
      partitionsByTopic: new Map([...topics].map((topic) => [topic, this.#options.partitionsOf(topic)])),
      owners: new Map(Object.entries(record.owners)),
    });
  }

  #gone(record: GroupRecord): string[] {
    return Object.entries(record.members)
      .filter(([, { instance }]) => !this.#options.instances.isAlive(instance))
      .map(([id]) => id);
  }

  #record(): GroupRecord {
    return this.#table.get(this.#options.group) ?? EMPTY;
  }

  #put(record: GroupRecord): void {
    this.#table.putSync(this.#options.group, record);
  }
}
