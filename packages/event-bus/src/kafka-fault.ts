/** Turns what kafkajs throws into errors whose code and `retriable` callers may trust. */
import { isPoolmeterError, messageOf, PoolmeterError, type ErrorCode } from '@poolmeter/domain';

const UNKNOWN_AUTHORITY =
  'the certificate of the broker comes from an unknown authority: name its CA file in KAFKA_TLS_CA_FILE.';

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

/** A broker that has just started says this of every topic. */
const UNKNOWN_TOPIC = 'UNKNOWN_TOPIC_OR_PARTITION';
const SEQUENCE_TYPES: readonly (string | undefined)[] = [
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
];

const REFUSED_NAMES: Readonly<Record<string, ErrorCode>> = {
  KafkaJSSASLAuthenticationError: 'dependency.refused',
  KafkaJSTopicMetadataNotLoaded: 'bus.rejected',
};

/** What TLS and OpenSSL say, and what is to be done about it: repeating cannot help. */
const TLS_CODES: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  CERT_HAS_EXPIRED: 'the certificate of the broker has expired: renew it.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another name: use the name that it was made for.',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'the broker does not speak TLS at this port: switch TLS off or use another port.',
  EPROTO: 'the broker does not speak TLS at this port, or refuses our certificate.',
};

interface KafkaFault {
  readonly name?: string;
  readonly type?: string;
  readonly code?: string;
  readonly cause?: unknown;
}

/** kafkajs calls exhausted retries final; what was tried again and again stands in the cause. */
export function kafkaFault(thrown: unknown, action: string): PoolmeterError {
  for (const fault of causesOf(thrown)) {
    // Our own, such as the one of a token endpoint, says more than what kafkajs wrapped it into.
    if (isPoolmeterError(fault)) return fault;
    const tls = TLS_CODES[fault.code ?? ''];
    if (tls !== undefined) {
      return new PoolmeterError('dependency.refused', `Kafka cannot be reached to ${action}: ${tls}`, {
        details: { action, type: fault.code },
        cause: thrown,
      });
    }
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

/** Told when a broker that was called in plain text turns out to speak TLS: it only cuts the connection. */
export function plainTextFault(broker: string, cause: unknown): PoolmeterError {
  return new PoolmeterError(
    'dependency.refused',
    `${broker} speaks TLS: set KAFKA_TLS=true, or use its port for plain text.`,
    { details: { broker }, cause },
  );
}

/** kafkajs only says that it found no coordinator, also where the broker said that this user may not know it. */
export function groupFault(
  fault: PoolmeterError,
  group: string,
  errorAnswers: readonly string[],
): PoolmeterError {
  const isHidden = [...causesOf(fault.cause)].some(({ name }) => name === 'KafkaJSGroupCoordinatorNotFound');
  if (!isHidden || !errorAnswers.some((answer) => answer.startsWith('Not authorized'))) return fault;
  return new PoolmeterError(
    'dependency.refused',
    `This user may not read as the group ${group}: add a rule that allows READ on it.`,
    { details: { group, type: 'GROUP_AUTHORIZATION_FAILED' }, cause: fault },
  );
}

/** Whether the broker itself said no to a send for good, rather than not being heard or still starting. */
export function isRefusal(fault: PoolmeterError): boolean {
  return !fault.retriable && !isTopicGone(fault);
}

/** Whether the broker does not know the topic (yet, or any more). */
export function isTopicGone(fault: PoolmeterError): boolean {
  return fault.details['type'] === UNKNOWN_TOPIC;
}

/** Whether the broker lost or doubts the producer's sequence: that producer can store nothing here any more. */
export function isSequenceLost(fault: PoolmeterError): boolean {
  return [...causesOf(fault.cause)].some(({ type }) => SEQUENCE_TYPES.includes(type));
}

function* causesOf(thrown: unknown): Generator<KafkaFault> {
  let fault = thrown as KafkaFault | null | undefined;
  for (let depth = 0; depth < 6 && fault !== null && fault !== undefined; depth += 1) {
    yield fault;
    fault = fault.cause as KafkaFault | undefined;
  }
}
