import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadNotifications, notificationsJsonSchema, notificationsSchema } from './channels.js';

describe('the file of channels', () => {
  it('has the JSON Schema that is published (write it anew with npm run policy-schema -w alerts)', () => {
    const file = new URL('../../../docs/schemas/notifications.schema.json', import.meta.url);
    const published = JSON.parse(readFileSync(file, 'utf8')) as unknown;
    expect(published).toEqual(JSON.parse(JSON.stringify(notificationsJsonSchema())));
  });

  it('fills in what is usual', () => {
    const { channels, give_up_after } = notificationsSchema.parse({
      channels: [{ id: 'chat', kind: 'slack', url_env: 'CHAT_URL' }],
    });
    expect(channels[0]).toMatchObject({
      min_severity: 'warn',
      group_by: ['node'],
      group_wait: 10_000,
      tell_resolved: true,
    });
    expect(give_up_after).toBe(86_400_000);
  });

  it.each([
    [
      'two channels of one name',
      [
        { id: 'a', kind: 'slack', url_env: 'A' },
        { id: 'a', kind: 'slack', url_env: 'B' },
      ],
      'a is listed twice',
    ],
    [
      'a time zone that there is not',
      [
        {
          id: 'a',
          kind: 'slack',
          url_env: 'A',
          quiet_hours: { zone: 'Mars/Olympus', from: '22:00', to: '07:00' },
        },
      ],
      'is no time zone',
    ],
    [
      'a secret in the file itself',
      [{ id: 'a', kind: 'slack', url_env: 'https://hooks.example/x' }],
      'name of an environment variable',
    ],
  ])('refuses %s', (_name, channels, message) => {
    expect(() => notificationsSchema.parse({ channels })).toThrow(message);
  });

  it('that cannot be read says which one it is', () => {
    expect(() => loadNotifications('/nowhere/channels.yaml')).toThrow(
      '/nowhere/channels.yaml cannot be read',
    );
  });
});
