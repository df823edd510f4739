/** Turns what kafkajs throws into errors whose code and `retriable` callers may trust. */
import { isPoolmeterError, messageOf, PoolmeterError, type ErrorCode } from '@poolmeter/domain';

/** The broker will answer the same to the same request: sending it again is of no use. */
const REFUSED_TYPES: Readonly<Record<string, ErrorCode>> = {
  MESSAGE_TOO_LARGE: 'bus.rejected',
  RECORD_LIST_TOO_LARGE: 'bus.rejected',
  INVALID_RECORD: 'bus.rejected',
  INVALID_TOPIC_EXCEPTION: 'bus.rejected',
  UNKNOWN_TOPIC_OR_PARTITION: 'bus.rejected',
  TOPIC_AUTHORIZATION_FAILED: 'dependency.refused',
  GROUP_AUTHORIZATION_FAILED: 'dependency.refused',
  CLUSTER_AUTHORIZATION_FAILED: 'dependency.refused',
  SASL_AUTHENTICATION_FAILED: 'dependency.refused',
  UNSUPPORTED_SASL_MECHANISM: 'dependency.refused',
  // The group went on without this consumer.
  ILLEGAL_GENERATION: 'bus.rejected',
  UNKNOWN_MEMBER_ID: 'bus.rejected',
  REBALANCE_IN_PROGRESS: 'bus.rejected',
  FENCED_INSTANCE_ID: 'bus.rejected',
};

const REFUSED_NAMES: Readonly<Record<string, ErrorCode>> = {
  KafkaJSSASLAuthenticationError: 'dependency.refused',
  KafkaJSTopicMetadataNotLoaded: 'bus.rejected',
};

interface KafkaFault {
  readonly name?: string;
  readonly type?: string;
  readonly cause?: unknown;
}

/** kafkajs calls exhausted retries final; what was tried again and again stands in the cause. */
export function kafkaFault(thrown: unknown, action: string): PoolmeterError {
  if (isPoolmeterError(thrown)) return thrown;
  for (const fault of causesOf(thrown)) {
    const code = REFUSED_TYPES[fault.type ?? ''] ?? REFUSED_NAMES[fault.name ?? ''];
    if (code === undefined) continue;
    const details = { action, type: fault.type ?? fault.name };
    return new PoolmeterError(code, `Kafka refused to ${action}: ${messageOf(fault)}`, {
      details,
      cause: thrown,
    });
  }
  return new PoolmeterError(
    'dependency.unavailable',
    `Kafka could not ${action}: ${messageOf(thrown)}. Check that the brokers run and can be reached.`,
    { retriable: true, details: { action }, cause: thrown },
  );
}

/** Whether the broker itself said no, rather than not being heard. */
export function isRefusal(fault: PoolmeterError): boolean {
  return !fault.retriable;
}

function* causesOf(thrown: unknown): Generator<KafkaFault> {
  let fault = thrown as KafkaFault | null | undefined;
  for (let depth = 0; depth < 6 && fault !== null && fault !== undefined; depth += 1) {
    yield fault;
    fault = fault.cause as KafkaFault | undefined;
  }
}
