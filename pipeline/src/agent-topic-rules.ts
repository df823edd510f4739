/**
 * Whose word a message is: it follows from the topic that it arrived on, never from what it says. The topics that all
 * share have no owner, so that what is said there is either trusted or refused.
 */
import { createHash } from 'node:crypto';
import { PoolmeterError } from '@poolmeter/domain';
import type { StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import { messageHeaders, parseAgentTopic, topicOfProvider, topics } from '@poolmeter/telemetry-schema';
import type { NodeRegistry } from './node-registry.js';
import type { TableRows } from './table-rows.js';

/** The name under which the pipeline itself publishes events. */
export const PIPELINE_PRODUCER = 'poolmeter-pipeline';

/** `trust`: a message on the shared topic is of the provider that it names. `refuse`: it goes to the dead letters. */
export type SharedTopicRule = 'trust' | 'refuse';

/** A provider spoke for a node that is not its own. */
export interface ForeignClaim {
  readonly provider: string;
  readonly node: string;
  readonly reason: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

export interface AgentTopicRules {
  /** Throws for a message that may not be on its topic. */
  requireWelcome(message: StoredMessage): void;
  /** How the content of a message is checked; undefined where it is taken as it is. */
  checkOf(message: StoredMessage): ProviderCheck | undefined;
}

/** What a row claims, for the table of rejects. */
export interface ClaimedRow {
  readonly node: string;
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly pool: string;
  readonly tsMs: number;
  readonly row: string;
  readonly reason: string;
}

export interface ProviderCheck {
  /** Whose topic it is. */
  readonly provider: string;
  /** Why this provider may not speak for the node; undefined when it may. */
  foreignReason(node: string): string | undefined;
  reject(claimed: ClaimedRow): TableRows;
  /** The row named another provider than the topic's; it is stored with the topic's. */
  onRelabelled(): void;
}

export interface AgentTopicRulesOptions {
  readonly registry: NodeRegistry;
  readonly sharedTopic: SharedTopicRule;
  readonly onForeign: (claim: ForeignClaim) => void;
  readonly onRelabelled: (topic: string) => void;
}

export function createAgentTopicRules(options: AgentTopicRulesOptions): AgentTopicRules {
  return {
    requireWelcome(message) {
      if (options.sharedTopic === 'trust' || parseAgentTopic(message.topic)?.provider !== undefined) return;
      if (message.headers[messageHeaders.producer] === PIPELINE_PRODUCER) return;
      throw new PoolmeterError(
        'forbidden',
        `${message.topic} is closed to agents: let this one publish to ${message.topic}.PROVIDER.`,
      );
    },
    checkOf(message) {
      const provider = parseAgentTopic(message.topic)?.provider;
      return provider === undefined ? undefined : createProviderCheck(message, provider, options);
    },
  };
}

function createProviderCheck(
  message: StoredMessage,
  provider: string,
  { registry, onForeign, onRelabelled }: AgentTopicRulesOptions,
): ProviderCheck {
  const { topic, partition, offset } = message;
  return {
    provider,
    foreignReason(node) {
      const owner = registry.ownerOf(node, provider);
      if (owner === provider) return undefined;
      const reason =
        owner === undefined
          ? `node is not known to belong to provider ${provider}`
          : `node belongs to another provider than ${provider}`;
      onForeign({ provider, node, reason, topic, partition, offset });
      return reason;
    },
    reject: ({ node, gpuUuid, gpuInstance, pool, tsMs, row, reason }) => ({
      table: tables.ingestRejects,
      group: tables.ingestRejects,
      rowCount: 1,
      row: {
        source: 'provider check',
        reasons: [reason],
        ts: new Date(tsMs).toISOString(),
        node,
        gpu_uuid: gpuUuid,
        gpu_instance: gpuInstance,
        pool,
        provider_id: provider,
        row,
        topic,
        bus_partition: partition,
        bus_offset: offset.toString(),
      },
    }),
    onRelabelled: () => onRelabelled(topic),
  };
}

const PARTITIONS_MAX = 1_024;

/**
 * The partition by which readers follow `gpu_events`. Each provider's topic counts its own offsets, so that its
 * partitions need numbers of their own: 21 bits of the topic's digest before ten bits of the partition.
 */
export function busPartitionOf(topic: string, partition: number): number {
  return topic === topics.gpuEvents ? partition : numberOfTopic(topic) * PARTITIONS_MAX + partition;
}

function numberOfTopic(topic: string): number {
  // Never 0: that is the shared topic.
  return (createHash('sha256').update(topic).digest().readUInt32BE(0) % (2 ** 21 - 1)) + 1;
}

/** The topics of these providers; refuses names that readers of events could not tell apart. */
export function topicsOfProviders(providers: readonly string[]): readonly string[] {
  const names = [...new Set(providers)];
  const events = names.map((provider) => topicOfProvider(topics.gpuEvents, provider));
  if (new Set(events.map(numberOfTopic)).size < events.length) {
    throw new PoolmeterError(
      'config.invalid',
      'Two of the providers have the same number for their events: name one of them differently.',
    );
  }
  return [...names.map((provider) => topicOfProvider(topics.gpuSamples, provider)), ...events];
}
