/** The DDL of a whole cluster as one text for people: what `cluster/poolmeter.sql` holds. */
import { clusterFiles } from './cluster-ddl.js';
import { CREATE_JOURNAL, readMigrations } from './migrate.js';

const PLACE = { cluster: 'poolmeter', database: 'poolmeter' };

const HEADER = `-- What \`poolmeter migrate\` runs when POOLMETER_MIGRATE_CLICKHOUSE_CLUSTER=poolmeter: rendered from migrations/, not edited.
-- Written anew by: node packages/metrics-store/dist/cluster-ddl-main.js

CREATE DATABASE IF NOT EXISTS poolmeter ON CLUSTER 'poolmeter';
`;

/** Statements in the order in which they run, each ending with a semicolon at the end of a line. */
export async function clusterDdlText(): Promise<string> {
  const migrations = await readMigrations();
  const files = clusterFiles([[CREATE_JOURNAL], ...migrations.map((each) => each.statements)], PLACE);
  return [HEADER, ...files.flat().map((statement) => `${statement};\n`)].join('\n');
}
