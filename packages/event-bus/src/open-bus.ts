/** Which bus a role is on, as its settings say: Kafka when brokers are named, else the embedded log of this machine. */
import { readFileSync } from 'node:fs';
import { messageOf, PoolmeterError, systemClock } from '@poolmeter/domain';
import { flag, httpAddress, secretText, textList, type Logger } from '@poolmeter/service';
import { z } from 'zod';
import type { EventBus } from './event-bus.js';
import { createTokenSource } from './fetch-token.js';
import { createKafkaBus } from './kafka-bus.js';
import type { KafkaCertificates, KafkaLogin } from './kafka-client.js';
import { createLogBus } from './log-bus.js';

const DEFAULT_SASL = 'scram-sha-512';

/** The settings of every role that reads or writes the bus; spread them into the role's own. */
export const busSettings = {
  brokers: textList
    .optional()
    .describe('Kafka brokers, host:port, separated by commas. Without them the log folder is used.'),
  kafkaUsername: z.string().optional().describe('SASL user, or the client id at the token endpoint.'),
  kafkaPassword: secretText.optional(),
  kafkaSasl: z
    .enum(['scram-sha-512', 'scram-sha-256', 'plain', 'oauthbearer'])
    .optional()
    .describe(`SASL mechanism of the user; ${DEFAULT_SASL} when absent.`),
  kafkaTokenUrl: httpAddress
    .optional()
    .describe('Token endpoint for oauthbearer; the user and password are its client credentials.'),
  kafkaTokenScope: z.string().optional().describe('Scope that is asked for at the token endpoint.'),
  kafkaTls: flag.default(false).describe('Whether brokers are reached over TLS.'),
  kafkaTlsCaFile: z
    .string()
    .optional()
    .describe('PEM file of the authorities to trust instead of those of the system.'),
  kafkaTlsCertFile: z
    .string()
    .optional()
    .describe('PEM file of our own certificate, where brokers ask for one.'),
  kafkaTlsKeyFile: z.string().optional().describe('PEM file of the key of our own certificate.'),
  kafkaCompression: z
    .enum(['none', 'gzip'])
    .optional()
    .describe('Of what is published; none when absent. gzip saves network and disk for much more CPU.'),
  busDirectory: z
    .string()
    .optional()
    .describe('Folder of the embedded log, shared with the other roles of this machine.'),
};

export type BusSettings = z.output<z.ZodObject<typeof busSettings>>;

export interface OpenBusOptions {
  /** Names this process to the brokers, such as `poolmeter-pipeline`. */
  readonly clientId: string;
  /** Names the variables in the error, such as `POOLMETER_PIPELINE`. */
  readonly prefix: string;
  readonly logger: Logger;
}

/** Throws `config.invalid` for settings that do not fit together and for certificates that cannot be read. */
export function openBus(settings: BusSettings, { clientId, prefix, logger }: OpenBusOptions): EventBus {
  const { brokers = [], busDirectory } = settings;
  if (brokers.length > 0) {
    const sasl = loginOf(settings, prefix);
    const ssl = tlsOf(settings, prefix);
    return createKafkaBus({
      brokers,
      clientId,
      logger,
      ssl,
      compression: settings.kafkaCompression ?? 'none',
      ...(sasl === undefined ? {} : { sasl }),
    });
  }
  if (busDirectory !== undefined) return createLogBus({ directory: busDirectory, logger });
  throw new PoolmeterError(
    'config.invalid',
    `There is no bus: set ${prefix}_BROKERS, or ${prefix}_BUS_DIRECTORY for the embedded log.`,
  );
}

function loginOf(settings: BusSettings, prefix: string): KafkaLogin | undefined {
  const { kafkaUsername: username, kafkaPassword: password, kafkaTokenUrl: tokenUrl } = settings;
  const mechanism = settings.kafkaSasl ?? DEFAULT_SASL;
  if (username === undefined && password === undefined && settings.kafkaSasl === undefined) return undefined;
  if (username === undefined || password === undefined)
    throw incomplete(`${prefix}_KAFKA_USERNAME and ${prefix}_KAFKA_PASSWORD belong together: set both.`);
  if (mechanism !== 'oauthbearer') return { mechanism, username, password };
  if (tokenUrl === undefined) throw incomplete(`Set ${prefix}_KAFKA_TOKEN_URL for oauthbearer.`);
  const token = createTokenSource({
    tokenUrl,
    clientId: username,
    clientSecret: password,
    clock: systemClock,
    ...(settings.kafkaTokenScope === undefined ? {} : { scope: settings.kafkaTokenScope }),
  });
  return { mechanism, token };
}

function tlsOf(settings: BusSettings, prefix: string): boolean | KafkaCertificates {
  const files = {
    ca: settings.kafkaTlsCaFile,
    cert: settings.kafkaTlsCertFile,
    key: settings.kafkaTlsKeyFile,
  };
  const named = Object.entries(files).filter(([, file]) => file !== undefined);
  if (!settings.kafkaTls && named.length > 0)
    throw incomplete(`Certificates are of no use without TLS: set ${prefix}_KAFKA_TLS=true.`);
  if ((files.cert === undefined) !== (files.key === undefined))
    throw incomplete(
      `${prefix}_KAFKA_TLS_CERT_FILE and ${prefix}_KAFKA_TLS_KEY_FILE belong together: set both.`,
    );
  if (named.length === 0) return settings.kafkaTls;
  return Object.fromEntries(named.map(([name, file]) => [name, pemOf(file ?? '')]));
}

function pemOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw incomplete(`The certificate file ${file} cannot be read: ${messageOf(cause)}.`);
  }
}

function incomplete(message: string): PoolmeterError {
  return new PoolmeterError('config.invalid', message);
}
