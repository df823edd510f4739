/** Turns the environment and a file into a checked configuration, or into one error that names every fault. */
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { settingsOf, type ConfigSchema, type Setting } from './setting-schema.js';

export interface ConfigSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Before every variable's name, without the last underscore: `POOLMETER_COLLECTOR`. */
  readonly prefix: string;
  /** The content of the configuration file; a variable wins over it. */
  readonly fileValues?: Readonly<Record<string, unknown>>;
  /** Reads the file that a `NAME_FILE` variable points to. */
  readonly readText?: (path: string) => string;
}

export interface ConfigFault {
  /** The variable or the file's key, as the person wrote it. */
  readonly name: string;
  readonly message: string;
}

/**
 * The configuration of one role. An empty variable counts as absent. Throws `config.invalid` with every fault at once:
 * wrong and missing values, unknown names under the prefix (a typing error must not be a silent default), unreadable
 * secret files.
 */
export function loadConfig<S extends ConfigSchema>(schema: S, source: ConfigSource): z.output<S> {
  const settings = settingsOf(schema);
  const faults: ConfigFault[] = [...unknownVariables(settings, source), ...unknownKeys(settings, source)];
  const values: Record<string, unknown> = {};
  const names = new Map<string, string>();
  for (const setting of settings) {
    const found = findValue(setting, source, faults);
    names.set(setting.key, found?.name ?? `${source.prefix}_${setting.variable}`);
    if (found !== undefined) values[setting.key] = found.value;
  }
  const unreadable = new Set(faults.map((fault) => fault.name));
  const parsed = schema.safeParse(values, { reportInput: false });
  for (const issue of parsed.error?.issues ?? []) {
    const [key, ...rest] = issue.path;
    const name = names.get(String(key)) ?? source.prefix;
    if (unreadable.has(name) || unreadable.has(`${name}_FILE`)) continue;
    const missing = issue.code === 'invalid_type' && !(String(key) in values);
    const place = rest.length === 0 ? '' : `[${rest.join('.')}] `;
    faults.push({ name, message: missing ? 'is required' : place + sentenceOf(issue.message) });
  }
  if (parsed.success && faults.length === 0) return parsed.data;
  throw configFault(source.prefix, faults);
}

/** Reads a YAML or JSON configuration file into the values that `loadConfig` merges under the environment. */
export function readConfigFile(path: string): Record<string, unknown> {
  let content: unknown;
  try {
    // YAML 1.2 contains JSON, so one reader serves both.
    content = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new PoolmeterError(
      'config.invalid',
      `The configuration file ${path} cannot be read: ${messageOf(cause)}`,
      {
        details: { path },
        cause,
      },
    );
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new PoolmeterError('config.invalid', `The configuration file ${path} must hold keys and values.`, {
      details: { path },
    });
  }
  return content as Record<string, unknown>;
}

function configFault(prefix: string, faults: readonly ConfigFault[]): PoolmeterError {
  const list = faults.map((fault) => `${fault.name} ${fault.message}`).join('; ');
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  return new PoolmeterError('config.invalid', `The configuration ${prefix}_* has ${count}: ${list}.`, {
    details: { faults },
  });
}

interface FoundValue {
  readonly name: string;
  readonly value: unknown;
}

function findValue(setting: Setting, source: ConfigSource, faults: ConfigFault[]): FoundValue | undefined {
  const name = `${source.prefix}_${setting.variable}`;
  const text = source.env[name];
  const path = setting.secret ? source.env[`${name}_FILE`] : undefined;
  if (isGiven(text) && isGiven(path)) {
    faults.push({ name, message: `is given twice, here and in ${name}_FILE: remove one` });
    return undefined;
  }
  if (isGiven(text)) return { name, value: text };
  if (isGiven(path)) return findSecret({ name: `${name}_FILE`, path }, source, faults);
  const fromFile = source.fileValues?.[setting.key];
  return fromFile === undefined || fromFile === null
    ? undefined
    : { name: setting.key, value: asWritten(fromFile) };
}

function findSecret(
  secret: { name: string; path: string },
  source: ConfigSource,
  faults: ConfigFault[],
): FoundValue | undefined {
  const readText = source.readText ?? ((path) => readFileSync(path, 'utf8'));
  try {
    // Editors and `echo` end a file with a newline that is no part of the secret.
    return { name: secret.name, value: readText(secret.path).replace(/\r?\n$/, '') };
  } catch (cause) {
    faults.push({
      name: secret.name,
      message: `points to ${secret.path}, which cannot be read (${messageOf(cause)})`,
    });
    return undefined;
  }
}

function isGiven(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

/** A file holds numbers and booleans where the environment holds text; one schema reads both as text. */
function asWritten(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? value.map(asWritten) : value;
}

/** Kubernetes puts such variables into every pod of a namespace that has a service of the same name. */
const SERVICE_LINK = /^(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$/;

function unknownVariables(settings: readonly Setting[], source: ConfigSource): ConfigFault[] {
  const known = new Set(
    settings.flatMap((one) => (one.secret ? [one.variable, `${one.variable}_FILE`] : [one.variable])),
  );
  return Object.keys(source.env)
    .filter((name) => name.startsWith(`${source.prefix}_`))
    .filter((name) => !known.has(name.slice(source.prefix.length + 1)))
    .filter((name) => !SERVICE_LINK.test(name.slice(source.prefix.length + 1)))
    .map((name) => ({ name, message: unknownMessage(name.slice(source.prefix.length + 1), [...known]) }));
}

function unknownKeys(settings: readonly Setting[], source: ConfigSource): ConfigFault[] {
  const known = settings.map((one) => one.key);
  return Object.keys(source.fileValues ?? {})
    .filter((key) => !known.includes(key))
    .map((key) => ({ name: key, message: unknownMessage(key, known) }));
}

function unknownMessage(name: string, known: readonly string[]): string {
  const close = known.find((one) => editDistance(one.toLowerCase(), name.toLowerCase()) <= 2);
  return close === undefined
    ? 'is not a setting of this role'
    : `is not a setting of this role (did you mean ${close}?)`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function sentenceOf(message: string): string {
  const text = message.replace(/\.$/, '');
  return text.startsWith('Invalid') || text.startsWith('Too') ? `is wrong: ${text}` : text;
}
