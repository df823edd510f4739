/** How every kafkajs client of ours is set up. */
import type { Logger } from '@poolmeter/service';
import { Kafka, logLevel, type ISocketFactory, type KafkaConfig, type logCreator } from 'kafkajs';

export interface KafkaConnection {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
  /** true, or the certificates of tls.connect. */
  readonly ssl?: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly logger: Logger;
}

/**
 * Short pauses: a broker that restarts is found again within a second of its return. The bounded number of tries
 * lets a commit fail within seconds instead of succeeding in a later generation of the group.
 */
export const KAFKA_RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 6 } as const;
const CONNECTION_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;

export function createKafkaClient(connection: KafkaConnection, socketFactory?: ISocketFactory): Kafka {
  const { brokers, clientId, sasl, ssl, logger } = connection;
  return new Kafka({
    clientId,
    brokers: [...brokers],
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: KAFKA_RETRY,
    logLevel: logLevel.WARN,
    logCreator: logCreatorFor(logger),
    ...(sasl === undefined ? {} : { sasl: sasl as NonNullable<KafkaConfig['sasl']> }),
    ...(ssl === undefined ? {} : { ssl }),
    ...(socketFactory === undefined ? {} : { socketFactory }),
  });
}

/** What kafkajs calls an error is mostly something that it then tries again: a warning at most. */
function logCreatorFor(logger: Logger): logCreator {
  const child = logger.child({ part: 'kafkajs' });
  return () => (entry) => {
    const { message, timestamp: _timestamp, logger: _logger, ...fields } = entry.log;
    if (entry.level === logLevel.ERROR) child.warn({ ...fields, namespace: entry.namespace }, message);
    else child.debug({ ...fields, namespace: entry.namespace }, message);
  };
}
