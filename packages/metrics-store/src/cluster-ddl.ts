/**
 * The migrations as a cluster of ClickHouse servers takes them: pure text in, text out.
 *
 * - A table that a view reads or fills is sharded by GPU: `x_local` on every node, replicated within its shard, and `x`
 *   over all of them. All rows of a GPU, its rollups and its latest row meet on one shard, so views stay local.
 * - Every other table is small: each node holds a full copy, so joins with it stay local too.
 *
 * A statement of a kind that it does not know is refused, so that nothing is rendered half.
 */
import { PoolmeterError } from '@poolmeter/domain';
import { identifier } from './insert-body.js';

export interface ClusterPlace {
  /** Name in the servers' `remote_servers`; their macros must say `shard` and `replica`. */
  readonly cluster: string;
  readonly database: string;
}

/** Where rows that exist once per shard keep their replication log, and where those do that every node holds. */
const SHARD_LOG = `'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'`;
const COPY_LOG = `'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}'`;
/** Tokens on a cluster are forgotten by age as well; a week is longer than the bus keeps messages by default. */
const TOKENS_KEPT_S = 604_800;
const SHARDING_KEY = 'cityHash64(gpu_uuid)';
const LOCAL = '_local';

const CREATE_TABLE = /^CREATE TABLE IF NOT EXISTS (\w+)\s/;
const CREATE_VIEW = /^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+)\s+TO (\w+)\s+AS\s/;
const ALTER_TABLE = /^ALTER TABLE (\w+)\s+/;
const DROP = /^DROP (TABLE|VIEW) IF EXISTS (\w+)$/;
const READ_TABLE = /\b(FROM|JOIN)(\s+)(\w+)\b(\s+AS\s+\w+)?/g;

/** What an ALTER must do on the table over all shards too; everything else concerns stored parts alone. */
const OF_COLUMNS = /^(ADD|DROP|RENAME|COMMENT|MODIFY) COLUMN\b/;

/** The statements of all files, in order, for each file; an earlier one cannot be rendered without later views. */
export function clusterFiles(files: readonly (readonly string[])[], place: ClusterPlace): string[][] {
  const sharded = shardedTables(files.flat().map(plainText));
  return files.map((statements) =>
    statements.flatMap((statement) => renderStatement(statement, { ...place, sharded })),
  );
}

interface Rendering extends ClusterPlace {
  readonly sharded: ReadonlySet<string>;
}

/** The table that holds the parts: the local one where there are shards. */
export function storedTable(table: string, isSharded: boolean): string {
  return isSharded ? `${table}${LOCAL}` : table;
}

export function onCluster(cluster: string): string {
  return `ON CLUSTER '${identifier(cluster)}'`;
}

function shardedTables(statements: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const statement of statements) {
    const target = CREATE_VIEW.exec(statement)?.[2];
    if (target === undefined) continue;
    found.add(target);
    for (const [, , , source] of masked(statement).matchAll(READ_TABLE))
      if (source !== undefined) found.add(source);
  }
  return found;
}

function renderStatement(statement: string, to: Rendering): string[] {
  const text = plainText(statement);
  const table = CREATE_TABLE.exec(text)?.[1];
  if (table !== undefined) return renderTable(text, table, to);
  if (CREATE_VIEW.test(text)) return [renderView(text, to)];
  const altered = ALTER_TABLE.exec(text);
  if (altered !== null) return renderAlter(text.slice(altered[0].length), altered[1] ?? '', to);
  const [, kind = '', dropped] = DROP.exec(text) ?? [];
  if (dropped !== undefined) return renderDrop(kind, dropped, to);
  throw new PoolmeterError(
    'internal',
    `A migration cannot be rendered for a cluster: teach cluster-ddl.ts "${text.slice(0, 60).replace(/\s+/g, ' ')}…".`,
  );
}

function renderTable(text: string, table: string, to: Rendering): string[] {
  const isSharded = to.sharded.has(table);
  const head = (name: string) => `CREATE TABLE IF NOT EXISTS ${qualified(name, to)} ${onCluster(to.cluster)}`;
  const body = text.slice(`CREATE TABLE IF NOT EXISTS ${table}`.length);
  const local = `${head(storedTable(table, isSharded))}${replicated(asLocal(body, to), isSharded)}`;
  if (!isSharded) return [local];
  if (!/\bgpu_uuid\b/.test(text) && !/^\s+AS\s/.test(body)) {
    throw new PoolmeterError(
      'internal',
      `${table} is fed by a view and has no gpu_uuid to be sharded by: give it one, or take the view away.`,
    );
  }
  const over = `Distributed('${to.cluster}', '${to.database}', '${table}${LOCAL}', ${SHARDING_KEY})`;
  const comment = /\nCOMMENT '(?:[^'\\]|\\.|'')*'$/.exec(text)?.[0] ?? '';
  return [local, `${head(table)} AS ${qualified(table + LOCAL, to)}\nENGINE = ${over}${comment}`];
}

/** `CREATE TABLE x AS y` names the table that y is on its node. */
function asLocal(body: string, to: Rendering): string {
  return body.replace(/^(\s+AS\s+)(\w+)/, (_, as: string, other: string) => `${as}${onNode(other, to)}`);
}

function replicated(body: string, isSharded: boolean): string {
  const engine = /\bENGINE = (\w*MergeTree)(?:\(([^)]*)\))?/.exec(masked(body));
  if (engine === null) return body;
  const [all, name = '', parameters = ''] = engine;
  const log = isSharded ? SHARD_LOG : COPY_LOG;
  const more = parameters === '' ? '' : `, ${parameters}`;
  const withEngine =
    body.slice(0, engine.index) +
    `ENGINE = Replicated${name}(${log}${more})` +
    body.slice(engine.index + all.length);
  return withEngine.replace(
    /\bnon_replicated_deduplication_window = (\d+)/,
    `replicated_deduplication_window = $1, replicated_deduplication_window_seconds = ${TOKENS_KEPT_S}`,
  );
}

/** The table keeps its own name inside the view as an alias, since columns are qualified with it. */
function renderView(text: string, to: Rendering): string {
  const mask = masked(text);
  let rendered = '';
  let from = 0;
  for (const found of mask.matchAll(READ_TABLE)) {
    const [all, word = '', space = '', table = '', alias = ` AS ${table}`] = found;
    if (!to.sharded.has(table)) continue;
    rendered += `${text.slice(from, found.index)}${word}${space}${onNode(table, to)}${alias}`;
    from = found.index + all.length;
  }
  return (rendered + text.slice(from)).replace(
    CREATE_VIEW,
    (_, view: string, target: string) =>
      `CREATE MATERIALIZED VIEW IF NOT EXISTS ${qualified(view, to)} ${onCluster(to.cluster)} TO ${onNode(target, to)} AS\n`,
  );
}

function renderAlter(change: string, table: string, to: Rendering): string[] {
  const alter = (name: string) => `ALTER TABLE ${qualified(name, to)} ${onCluster(to.cluster)} ${change}`;
  if (!to.sharded.has(table)) return [alter(table)];
  const stored = alter(table + LOCAL);
  return OF_COLUMNS.test(change) ? [stored, alter(table)] : [stored];
}

function renderDrop(kind: string, name: string, to: Rendering): string[] {
  const drop = (one: string) => `DROP ${kind} IF EXISTS ${qualified(one, to)} ${onCluster(to.cluster)} SYNC`;
  return to.sharded.has(name) ? [drop(name), drop(name + LOCAL)] : [drop(name)];
}

function onNode(table: string, to: Rendering): string {
  return qualified(storedTable(table, to.sharded.has(table)), to);
}

/** A statement for the cluster runs elsewhere, under another current database. */
function qualified(table: string, { database }: ClusterPlace): string {
  return `${identifier(database)}.${table}`;
}

function plainText(statement: string): string {
  return statement.replace(/^(\s*--[^\n]*\n)+/, '').trim();
}

/** The same text with literals and comments blanked, so that words inside of them are not taken for SQL. */
function masked(sql: string): string {
  return sql.replace(/'(?:[^'\\]|\\.|'')*'|--[^\n]*/g, (literal) => ' '.repeat(literal.length));
}
