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
