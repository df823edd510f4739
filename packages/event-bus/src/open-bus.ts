/** Which bus a role is on, as its settings say: Kafka when brokers are named, else the embedded log of this machine. */
import { PoolmeterError } from '@poolmeter/domain';
import { flag, secretText, textList, type Logger } from '@poolmeter/service';
import { z } from 'zod';
import type { EventBus } from './event-bus.js';
import { createKafkaBus } from './kafka-bus.js';
import { createLogBus } from './log-bus.js';

/** The settings of every role that reads or writes the bus; spread them into the role's own. */
export const busSettings = {
  brokers: textList
    .optional()
    .describe('Kafka brokers, host:port, separated by commas. Without them the log folder is used.'),
  kafkaUsername: z.string().optional().describe('SASL user; SCRAM-SHA-512.'),
  kafkaPassword: secretText.optional(),
  kafkaTls: flag.default(false).describe('Whether brokers are reached over TLS.'),
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

export function openBus(settings: BusSettings, { clientId, prefix, logger }: OpenBusOptions): EventBus {
  const { brokers = [], kafkaUsername: username, kafkaPassword: password, busDirectory } = settings;
  if (brokers.length > 0) {
    return createKafkaBus({
      brokers,
      clientId,
      logger,
      ssl: settings.kafkaTls,
      ...(username === undefined || password === undefined
        ? {}
        : { sasl: { mechanism: 'scram-sha-512', username, password } }),
    });
  }
  if (busDirectory !== undefined) return createLogBus({ directory: busDirectory, logger });
  throw new PoolmeterError(
    'config.invalid',
    `There is no bus: set ${prefix}_BROKERS, or ${prefix}_BUS_DIRECTORY for the embedded log.`,
  );
}
