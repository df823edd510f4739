/** How every kafkajs client of ours is set up. */
import type { Logger } from '@poolmeter/service';
import { Kafka, logLevel, type logCreator, type SASLOptions } from 'kafkajs';
import type { TokenSource } from './fetch-token.js';
import { kafkaSocketFactory, type KafkaSocketOptions } from './kafka-socket.js';

export interface KafkaConnection {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly sasl?: KafkaLogin;
  /** true, or certificates as PEM: whom to trust instead of the system's authorities, and who we are. */
  readonly ssl?: boolean | KafkaCertificates;
  readonly logger: Logger;
}

export type KafkaLogin =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
      readonly username: string;
      readonly password: string;
    }
  | { readonly mechanism: 'oauthbearer'; readonly token: TokenSource };

export interface KafkaCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Short pauses: a broker that restarts is found again within a second of its return. The bounded number of tries
 * lets a commit fail within seconds instead of succeeding in a later generation of the group.
 */
export const KAFKA_RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 6 } as const;
const CONNECTION_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;

export interface KafkaClientOptions extends KafkaSocketOptions {
  /** Told what kafkajs logs about answers that are errors: some of them it hides from its callers. */
  readonly onErrorAnswer?: (error: string) => void;
}

export function createKafkaClient(connection: KafkaConnection, options: KafkaClientOptions = {}): Kafka {
  const { brokers, clientId, sasl, ssl, logger } = connection;
  return new Kafka({
    clientId,
    brokers: [...brokers],
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: KAFKA_RETRY,
    logLevel: logLevel.WARN,
    logCreator: logCreatorFor(logger, options.onErrorAnswer),
    ...(sasl === undefined ? {} : { sasl: saslOf(sasl) }),
    ...(ssl === undefined ? {} : { ssl }),
    socketFactory: kafkaSocketFactory(options),
  });
}

function saslOf(login: KafkaLogin): SASLOptions {
  if (login.mechanism !== 'oauthbearer') return { ...login };
  return {
    mechanism: login.mechanism,
    oauthBearerProvider: async () => ({ value: await login.token() }),
  };
}

/** What kafkajs calls an error is mostly something that it then tries again: a warning at most. */
function logCreatorFor(logger: Logger, onErrorAnswer: KafkaClientOptions['onErrorAnswer']): logCreator {
  const child = logger.child({ part: 'kafkajs' });
  return () => (entry) => {
    const { message, timestamp: _timestamp, logger: _logger, ...fields } = entry.log;
    const error: unknown = fields['error'];
    if (typeof error === 'string') onErrorAnswer?.(error);
    if (entry.level === logLevel.ERROR) child.warn({ ...fields, namespace: entry.namespace }, message);
    else child.debug({ ...fields, namespace: entry.namespace }, message);
  };
}
