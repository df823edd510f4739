/** What the child of the embedded ClickHouse and its parent tell each other over the IPC channel. */
import { z } from 'zod';

/** Parent to child, once: how to start. Passwords travel here and not in the environment, which others may read. */
export const startMessageSchema = z.object({
  kind: z.literal('start'),
  storeDirectory: z.string(),
  spoolDirectory: z.string(),
  configPath: z.string(),
  queryLogPath: z.string(),
  port: z.int(),
  memoryLimitBytes: z.int(),
  users: z.array(z.object({ name: z.string(), password: z.string(), mayOnlyRead: z.boolean() })),
});

export type StartMessage = z.infer<typeof startMessageSchema>;

/** Child to parent. */
export const childMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), port: z.int() }),
  /** It cannot start and ends: why, with the system's code where there is one. */
  z.object({ kind: z.literal('failed'), code: z.string(), message: z.string() }),
  /** It goes on, but something went wrong. */
  z.object({ kind: z.literal('fault'), message: z.string() }),
]);

export type ChildMessage = z.infer<typeof childMessageSchema>;
