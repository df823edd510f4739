/** How long samples are kept, by table: set at a migration, read back from the tables, changed with MODIFY TTL. */
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
import { onCluster, storedTable } from './cluster-ddl.js';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import type { MetricsStore } from './metrics-store.js';
import { tables } from './tables.js';

/** Days after a row's arrival. What is absent stays as it is in the store; the migrations say 30, 400 and 1826. */
export interface RetentionDays {
  readonly raw?: number | undefined;
  readonly minutes?: number | undefined;
  readonly hours?: number | undefined;
}

export interface ChangedRetention {
  readonly table: string;
  /** undefined where the table had no rule in days or years. */
  readonly beforeDays: number | undefined;
  readonly days: number;
}

const TIERS = [
  { key: 'raw', table: tables.gpuSamples, name: 'raw samples' },
  { key: 'minutes', table: tables.gpuSamplesByMinute, name: 'minutes' },
  { key: 'hours', table: tables.gpuSamplesByHour, name: 'hours' },
] as const;

/** Times are stored in 32 bits of seconds, which end in 2106: a rule must not reach beyond. */
const MOST_DAYS = 10_950;
const DAYS_PER_YEAR = 365.25;

const ttlOf = defineQuery({
  name: 'ttl-of',
  sql: `SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}`,
  params: z.object({ names: z.array(z.string()) }),
  row: z.object({ name: column.text, engine_full: column.text }),
});

/** Refuses what cannot be meant: less than a day, beyond 30 years, or details that outlive their summary. */
export function checkRetention(days: RetentionDays): void {
  for (const { key, name } of TIERS) {
    const value = days[key];
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= MOST_DAYS)) continue;
    throw wrong(`keep ${name} for 1 to ${MOST_DAYS} whole days, not ${value}`);
  }
  for (const [index, tier] of TIERS.entries()) {
    for (const longer of TIERS.slice(index + 1)) {
      const [short, long] = [days[tier.key], days[longer.key]];
      if (short === undefined || long === undefined || short <= long) continue;
      throw wrong(
        `${tier.name} would be kept for ${short} days and ${longer.name} for ${long} only; keep ${longer.name} for at least as long`,
      );
    }
  }
}

/** Brings the tables' rules to what is asked for; the same request again changes nothing. Old rows follow in the background. */
export async function applyRetention(
  store: MetricsStore,
  { days, cluster }: { readonly days: RetentionDays; readonly cluster?: string | undefined },
): Promise<ChangedRetention[]> {
  checkRetention(days);
  if (TIERS.every(({ key }) => days[key] === undefined)) return [];
  const rules = await rulesOf(store, cluster !== undefined);
  // Also together with what is not asked for now and stays.
  checkRetention(Object.fromEntries(TIERS.map(({ key }) => [key, days[key] ?? rules[key].days])));
  const changed: ChangedRetention[] = [];
  for (const { key, table } of TIERS) {
    const wanted = days[key];
    const rule = rules[key];
    if (wanted === undefined || wanted === rule.days) continue;
    const where = cluster === undefined ? '' : ` ${onCluster(cluster)}`;
    const target = storedTable(table, cluster !== undefined);
    await store.command(
      `ALTER TABLE ${target}${where} MODIFY TTL ${rule.from} + INTERVAL ${wanted} DAY DELETE`,
    );
    changed.push({ table, beforeDays: rule.days, days: wanted });
  }
  return changed;
}

interface Rule {
  /** The expression that an interval is added to, such as `toDateTime(stored_at)`. */
  readonly from: string;
  readonly days: number | undefined;
}

async function rulesOf(
  store: MetricsStore,
  isSharded: boolean,
): Promise<Record<(typeof TIERS)[number]['key'], Rule>> {
  const names = TIERS.map(({ table }) => storedTable(table, isSharded));
  const found = new Map((await store.query(ttlOf, { names })).map((row) => [row.name, row.engine_full]));
  const [raw, minutes, hours] = names.map((name) => ruleIn(name, found.get(name) ?? ''));
  if (raw === undefined || minutes === undefined || hours === undefined) throw missing(names[0] ?? '');
  return { raw, minutes, hours };
}

function ruleIn(table: string, engine: string): Rule {
  const [, from, unit, count] = /\bTTL (.+?) \+ toInterval(\w+)\((\d+)\)/.exec(engine) ?? [];
  if (from === undefined) throw missing(table);
  return { from, days: daysOf(unit ?? '', Number(count)) };
}

function daysOf(unit: string, count: number): number | undefined {
  if (unit === 'Day') return count;
  return unit === 'Year' ? Math.round(count * DAYS_PER_YEAR) : undefined;
}

function missing(table: string): PoolmeterError {
  return new PoolmeterError(
    'precondition_failed',
    `${table} has no rule that deletes old rows: migrate the database first.`,
    { details: { table } },
  );
}

function wrong(what: string): PoolmeterError {
  return new PoolmeterError('config.invalid', `The retention cannot be meant: ${what}.`);
}
