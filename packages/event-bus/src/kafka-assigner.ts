/** How a Kafka group shares its partitions: as the log's groups do, by the same rule. */
import { AssignerProtocol, type PartitionAssigner } from 'kafkajs';
import { z } from 'zod';
import { balancePartitions, partitionName, type OwnedPartition } from './balance-partitions.js';

const VERSION = 1;
const ownedSchema = z.array(z.tuple([z.string(), z.number()]));

/**
 * Unlike the assigner of kafkajs it gives a topic only to members that read it, so that members which learn of a new
 * topic one after the other lose nothing, and it gives partitions back to whom they belonged: `owned` at the last
 * generation.
 */
export function createAssigner(owned: () => readonly OwnedPartition[]): PartitionAssigner {
  return ({ cluster }) => ({
    name: 'poolmeter-balanced',
    version: VERSION,
    protocol: ({ topics }) => ({
      name: 'poolmeter-balanced',
      metadata: AssignerProtocol.MemberMetadata.encode({
        version: VERSION,
        topics,
        userData: Buffer.from(JSON.stringify(owned().map(({ topic, partition }) => [topic, partition]))),
      }),
    }),
    assign: ({ members, topics }) => {
      const facts = members.map(({ memberId, memberMetadata }) => ({
        memberId,
        ...factsOf(memberMetadata),
      }));
      const target = balancePartitions({
        members: new Map(facts.map((fact) => [fact.memberId, fact.topics])),
        partitionsByTopic: new Map(
          topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).length]),
        ),
        owners: new Map(facts.flatMap((fact) => fact.owned.map((name) => [name, fact.memberId]))),
      });
      return Promise.resolve(
        members.map(({ memberId }) => ({
          memberId,
          memberAssignment: AssignerProtocol.MemberAssignment.encode({
            version: VERSION,
            assignment: assignmentOf(memberId, target),
            userData: Buffer.alloc(0),
          }),
        })),
      );
    },
  });
}

function factsOf(metadata: Buffer): { topics: string[]; owned: string[] } {
  const member = AssignerProtocol.MemberMetadata.decode(metadata);
  if (member === null) return { topics: [], owned: [] };
  const owned = ownedSchema.safeParse(JSON.parse(member.userData.toString() || '[]'));
  const names = (owned.data ?? []).map(([topic, partition]) => partitionName(topic, partition));
  return { topics: member.topics, owned: names };
}

function assignmentOf(memberId: string, target: ReadonlyMap<string, string>): Record<string, number[]> {
  const assignment: Record<string, number[]> = {};
  for (const [name, owner] of target) {
    if (owner !== memberId) continue;
    const slash = name.lastIndexOf('/');
    (assignment[name.slice(0, slash)] ??= []).push(Number(name.slice(slash + 1)));
  }
  return assignment;
}
