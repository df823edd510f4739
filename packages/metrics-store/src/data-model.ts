/** Writes docs/data-model.md from the comments that the migrations put on tables and columns. */
import { z } from 'zod';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import type { MetricsStore } from './metrics-store.js';
import { tables } from './tables.js';

const tableFacts = defineQuery({
  name: 'data-model-tables',
  sql: `
    SELECT name, engine, engine_full, partition_key, sorting_key, comment
    FROM system.tables
    WHERE database = currentDatabase() AND engine != 'MaterializedView'
    ORDER BY name
  `,
  params: z.object({}),
  row: z.object({
    name: column.text,
    engine: column.text,
    engine_full: column.text,
    partition_key: column.text,
    sorting_key: column.text,
    comment: column.text,
  }),
});

const columnFacts = defineQuery({
  name: 'data-model-columns',
  sql: `
    SELECT table, name, type, default_kind, default_expression, comment
    FROM system.columns
    WHERE database = currentDatabase()
    ORDER BY table, position
  `,
  params: z.object({}),
  row: z.object({
    table: column.text,
    name: column.text,
    type: column.text,
    default_kind: column.text,
    default_expression: column.text,
    comment: column.text,
  }),
});

type TableFacts = z.output<typeof tableFacts.row>;
type ColumnFacts = z.output<typeof columnFacts.row>;

const HEADER = `# Data model

Generated from the comments in packages/metrics-store/migrations; do not edit. All times are UTC. A unit column is \`NULL\`
where the exporter said nothing. \`raw_…\` columns are how values are stored; read the unit columns beside them.
Tables are in the ClickHouse database \`poolmeter\`.
`;

/** Facts first for people: columns to read, then how they are stored. */
export async function describeDataModel(store: MetricsStore): Promise<string> {
  const found = new Map((await store.query(tableFacts, {})).map((table) => [table.name, table]));
  const columns = await store.query(columnFacts, {});
  const sections = Object.values(tables).map((name) => {
    const facts = found.get(name);
    if (facts === undefined) throw new Error(`The table ${name} is missing: migrate first.`);
    return tableSection(
      facts,
      columns.filter((each) => each.table === name),
    );
  });
  return [HEADER, ...sections].join('\n');
}

function tableSection(table: TableFacts, columns: readonly ColumnFacts[]): string {
  const isStored = (each: ColumnFacts) => each.name.startsWith('raw_');
  const lines = [
    `## ${table.name}`,
    '',
    table.comment,
    '',
    ...storageLines(table),
    '',
    ...columnTable(columns.filter((each) => !isStored(each))),
  ];
  const stored = columns.filter(isStored);
  if (stored.length > 0) {
    lines.push('', `Stored columns of \`${table.name}\`:`, '', ...columnTable(stored));
  }
  return `${lines.join('\n')}\n`;
}

function storageLines(table: TableFacts): string[] {
  const facts = [`Engine ${table.engine}`];
  if (table.sorting_key !== '') facts.push(`sorted by \`${table.sorting_key}\``);
  if (table.partition_key !== '') facts.push(`partitioned by \`${table.partition_key}\``);
  const ttl = /TTL (.*?)(?: SETTINGS|$)/.exec(table.engine_full)?.[1];
  if (ttl !== undefined) facts.push(`kept until \`${ttl}\``);
  return [`${facts.join(', ')}.`];
}

function columnTable(columns: readonly ColumnFacts[]): string[] {
  const rows = columns.map((each) => [`\`${each.name}\``, `\`${each.type}\``, cell(each.comment)]);
  return [
    '| Column | Type | Meaning |',
    '| --- | --- | --- |',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ];
}

/** Text that neither ends a table cell nor reads as markup. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('_', '\\_').replaceAll('*', '\\*');
}
