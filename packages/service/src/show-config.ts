/** Shows configurations: the one in force, with secrets masked, and the example file that names every variable. */
import type { z } from 'zod';
import { settingsOf, type ConfigSchema, type Setting } from './setting-schema.js';

const MASK = '********';

/** The configuration as `--check-config` prints it: secrets and passwords inside URLs are masked. */
export function maskedConfig<S extends ConfigSchema>(schema: S, value: z.output<S>): Record<string, unknown> {
  const secrets = new Set(
    settingsOf(schema)
      .filter((one) => one.secret)
      .map((one) => one.key),
  );
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>).map(([key, inner]) => [
      key,
      secrets.has(key) && inner !== undefined ? MASK : withoutUrlPassword(inner),
    ]),
  );
}

function withoutUrlPassword(value: unknown): unknown {
  if (typeof value === 'string')
    return value.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/@:]*):[^/@]*@/i, `$1:${MASK}@`);
  return Array.isArray(value) ? value.map(withoutUrlPassword) : value;
}

export interface ConfigSection {
  /** What the section configures: `collector: the agent on a GPU node`. */
  readonly title: string;
  readonly prefix: string;
  readonly schema: ConfigSchema;
}

/** The text of `.env.example`: every variable of every role with its meaning; defaults stand commented out. */
export function envExample(sections: readonly ConfigSection[]): string {
  const head = '# Generated from the configuration schemas; every variable that poolmeter reads.\n';
  return head + sections.map(sectionText).join('');
}

function sectionText(section: ConfigSection): string {
  const lines = settingsOf(section.schema).map((setting) => settingText(section.prefix, setting));
  return `\n# --- ${section.title}\n${lines.join('')}`;
}

function settingText(prefix: string, setting: Setting): string {
  const name = `${prefix}_${setting.variable}`;
  const notes = [
    setting.description,
    setting.secret ? `Secret; or put it into a file and name that in ${name}_FILE.` : undefined,
    setting.required ? 'Required.' : undefined,
  ].filter((note) => note !== undefined);
  const comment = notes.length === 0 ? '' : `# ${notes.join(' ')}\n`;
  return `${comment}${setting.required ? '' : '# '}${name}=${setting.defaultText ?? ''}\n`;
}
