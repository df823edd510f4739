/** What a zod schema says about a setting beyond its type: its variable's name, whether it is secret, its default. */
import { z } from 'zod';
import { formatDurationMs } from './setting.js';

export type ConfigSchema = z.ZodObject;

/** The schema of one role. Unknown keys are refused by `loadConfig`, which knows the names that people wrote. */
export function defineConfig<Shape extends z.core.$ZodLooseShape>(shape: Shape): z.ZodObject<Shape> {
  return z.object(shape);
}

/** One setting of a schema, as people meet it. */
export interface Setting {
  /** The key in the schema and in a configuration file. */
  readonly key: string;
  /** The variable without its prefix: `SCRAPE_INTERVAL`. */
  readonly variable: string;
  readonly secret: boolean;
  readonly description: string | undefined;
  /** The value when nothing is given, as text; undefined when there is none. */
  readonly defaultText: string | undefined;
  readonly required: boolean;
}

interface SettingMeta {
  readonly secret?: unknown;
  readonly setting?: unknown;
  readonly description?: unknown;
  readonly env?: unknown;
}

/** The settings of a schema in the order in which they were written. */
export function settingsOf(schema: ConfigSchema): Setting[] {
  return Object.entries(schema.shape).map(([key, value]) => settingOf(key, value as z.ZodType));
}

function settingOf(key: string, schema: z.ZodType): Setting {
  const layers = layersOf(schema);
  const metas = layers.map((layer): SettingMeta => z.globalRegistry.get(layer) ?? {});
  const fact = (name: keyof SettingMeta) =>
    metas.map((meta) => meta[name]).find((found) => found !== undefined);
  const description = fact('description');
  const variable = fact('env');
  return {
    key,
    variable: typeof variable === 'string' ? variable : variableOf(key, fact('setting') === 'duration'),
    secret: fact('secret') === true,
    description: typeof description === 'string' ? description : undefined,
    defaultText: defaultTextOf(layers, fact('setting') === 'duration'),
    required: !schema.safeParse(undefined).success,
  };
}

/** `brokers` → `BROKERS`, `clickhouseUrl` → `CLICKHOUSE_URL`, `scrapeIntervalMs` (a duration) → `SCRAPE_INTERVAL`. */
function variableOf(key: string, isDuration: boolean): string {
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
  return isDuration ? words.replace(/_MS$/, '') : words;
}

/** A schema and what it wraps: `.default()`, `.optional()` and pipes hide the meta that was put inside them. */
function layersOf(schema: z.ZodType): z.ZodType[] {
  const layers: z.ZodType[] = [];
  let layer: z.ZodType | undefined = schema;
  while (layer !== undefined) {
    layers.push(layer);
    const definition = layer.def as { innerType?: z.ZodType; in?: z.ZodType };
    layer = definition.innerType ?? definition.in;
  }
  return layers;
}

function defaultTextOf(layers: readonly z.ZodType[], isDuration: boolean): string | undefined {
  const holder = layers.find((layer) => layer instanceof z.ZodDefault || layer instanceof z.ZodPrefault);
  if (holder === undefined) return undefined;
  const value = (holder.def as { defaultValue: unknown }).defaultValue;
  if (isDuration && typeof value === 'number') return formatDurationMs(value);
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
