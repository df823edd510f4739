/** Who is told: the channels of notifications, from a YAML file. */
import { readFileSync } from 'node:fs';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { parse } from 'yaml';
import { z } from 'zod';
import { duration } from '../policy/conditions.js';

const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'write a time of day such as 22:00');
const zone = z.string().refine(isZone, 'is no time zone such as Europe/Berlin');
const severity = z.enum(['info', 'warn', 'critical', 'fatal']);
const httpUrl = z.url({ protocol: /^https?$/, error: 'write an http(s) address' });
/** A secret never stands in the file itself: the name of the environment variable that holds it does. */
const secretName = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'write the name of an environment variable');

const every = {
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'write a short name in lower case'),
  min_severity: severity.default('warn'),
  match: z
    .partialRecord(
      z.enum(['pool', 'node', 'code', 'provider_id', 'blame']),
      z.array(z.string().min(1)).min(1),
    )
    .default({})
    .meta({ description: 'Values that columns of an incident may have; all must fit.' }),
  group_by: z.array(z.enum(['pool', 'node', 'code', 'provider_id'])).default(['node']),
  group_wait: duration
    .prefault('10s')
    .meta({ description: 'How long a message waits for others of its group.' }),
  tell_resolved: z.boolean().default(true),
  quiet_hours: z
    .strictObject({ zone, from: timeOfDay, to: timeOfDay, except_severity: severity.default('fatal') })
    .optional()
    .meta({
      description: 'What is less grave waits for the end of the night, if it is still there by then.',
    }),
};

const channel = z.discriminatedUnion('kind', [
  z.strictObject({ ...every, kind: z.literal('alertmanager'), url: httpUrl }),
  z.strictObject({ ...every, kind: z.literal('webhook'), url: httpUrl, secret_env: secretName }),
  z.strictObject({ ...every, kind: z.literal('slack'), url_env: secretName }),
  z.strictObject({
    ...every,
    kind: z.literal('pagerduty'),
    url: httpUrl.default('https://events.pagerduty.com/v2/enqueue'),
    routing_key_env: secretName,
  }),
  z.strictObject({
    ...every,
    kind: z.literal('email'),
    smtp_url_env: secretName.meta({ description: 'smtp://user:password@host:587' }),
    from: z.email(),
    to: z.array(z.email()).min(1),
  }),
]);

export const notificationsSchema = z
  .strictObject({
    console_url: httpUrl.optional().meta({ description: 'Where people look at an incident.' }),
    give_up_after: duration
      .prefault('24h')
      .meta({ description: 'A message that cannot be delivered is tried so long.' }),
    channels: z.array(channel).min(1),
  })
  .superRefine((file, context) => {
    file.channels.forEach((one, index) => {
      if (file.channels.findIndex((other) => other.id === one.id) === index) return;
      context.addIssue({
        code: 'custom',
        path: ['channels', index, 'id'],
        message: `${one.id} is listed twice`,
      });
    });
  });

export type NotificationsFile = z.output<typeof notificationsSchema>;
export type Channel = NotificationsFile['channels'][number];

export function loadNotifications(path: string): NotificationsFile {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new PoolmeterError(
      'config.invalid',
      `The file of channels ${path} cannot be read: ${messageOf(cause)}.`,
      { cause },
    );
  }
  const parsed = notificationsSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new PoolmeterError('config.invalid', `The file of channels ${path} is wrong: ${faults.join('; ')}.`, {
    details: { path, faults },
  });
}

/** The JSON Schema that docs/schemas/notifications.schema.json holds. */
export function notificationsJsonSchema(): unknown {
  return {
    title: 'poolmeter channels of notifications',
    ...z.toJSONSchema(notificationsSchema, { io: 'input', target: 'draft-2020-12' }),
  };
}

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
