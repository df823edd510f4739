import { PoolmeterError } from '@poolmeter/domain';

/** Topic names are part of the product's surface; see docs/data-model.md. The key keeps one object's facts in order. */
export const topics = {
  gpuSamples: 'poolmeter.gpu-samples',
  gpuEvents: 'poolmeter.gpu-events',
  leaseEvents: 'poolmeter.lease-events',
  incidents: 'poolmeter.incidents',
  billing: 'poolmeter.billing',
  scalingDecisions: 'poolmeter.scaling-decisions',
  deadLetter: 'poolmeter.dead-letter',
} as const;

/** The topics on which agents speak: shared, or one per provider below it (`poolmeter.gpu-samples.north`). */
export const agentTopics = [topics.gpuSamples, topics.gpuEvents] as const;
export type AgentTopic = (typeof agentTopics)[number];

/** The topic on which the agents of one provider speak, and nobody else may. */
export function topicOfProvider(topic: AgentTopic, provider: string): string {
  if (/^[A-Za-z0-9._-]{1,100}$/.test(provider)) return `${topic}.${provider}`;
  throw new PoolmeterError(
    'config.invalid',
    `"${provider}" cannot be part of a topic: name providers with letters, digits, dots, dashes and underscores.`,
  );
}

/** What an agent's topic is for, and whose it is; no provider on the shared one, undefined for any other topic. */
export function parseAgentTopic(
  name: string,
): { topic: AgentTopic; provider: string | undefined } | undefined {
  for (const topic of agentTopics) {
    if (name === topic) return { topic, provider: undefined };
    if (name.startsWith(`${topic}.`)) return { topic, provider: name.slice(topic.length + 1) };
  }
  return undefined;
}

export type TopicName = (typeof topics)[keyof typeof topics];

/** Headers that every message carries. `producer`, `producer-epoch` and `sequence` let a reader drop an agent's repeats. */
export const messageHeaders = {
  schema: 'schema',
  schemaVersion: 'schema-version',
  producer: 'producer',
  producerEpoch: 'producer-epoch',
  sequence: 'sequence',
} as const;

export interface MessageOrigin {
  /** What the value is: `gpu-sample`, `gpu-event`, `lease-event`, `row-copy`. */
  readonly schema: string;
  readonly schemaVersion: number;
  readonly producer: string;
  readonly producerEpoch: bigint;
  readonly sequence: bigint;
}

/** The headers of one message. */
export function messageHeadersFor(origin: MessageOrigin): Record<string, string> {
  return {
    [messageHeaders.schema]: origin.schema,
    [messageHeaders.schemaVersion]: String(origin.schemaVersion),
    [messageHeaders.producer]: origin.producer,
    [messageHeaders.producerEpoch]: origin.producerEpoch.toString(),
    [messageHeaders.sequence]: origin.sequence.toString(),
  };
}
