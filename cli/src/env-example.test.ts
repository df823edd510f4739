import { envExample } from '@poolmeter/service';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { roles } from './commands/role-definitions.js';
import { configSections } from './config-sections.js';

it('.env.example is what the schemas say; after a change run node cli/dist/env-example-main.js', () => {
  const checkedIn = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
  expect(checkedIn).toBe(envExample(configSections));
});

it('lists every role', () => {
  const prefixes = configSections.map((section) => section.prefix);
  expect(roles.map((role) => role.prefix).filter((prefix) => !prefixes.includes(prefix))).toEqual([]);
});
