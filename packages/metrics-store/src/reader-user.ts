/** The user that dashboards read with: what it may do and cost, as SQL for a ClickHouse server. */
import { createHash } from 'node:crypto';
import { PoolmeterError } from '@poolmeter/domain';
import { onCluster } from './cluster-ddl.js';
import { identifier } from './insert-body.js';
import type { MetricsStore } from './metrics-store.js';

export interface ReaderUser {
  readonly username: string;
  readonly password: string;
}

/**
 * Limits of one query of the reader. A client may ask for less of each, never for more: Grafana's data source and our own
 * client send settings along, which a user that may change nothing would be refused for.
 */
export const readerLimits = {
  max_execution_time: 60,
  max_memory_usage: 2_000_000_000,
  max_result_rows: 1_000_000,
  max_result_bytes: 500_000_000,
  max_rows_to_read: 2_000_000_000,
  max_bytes_to_read: 50_000_000_000,
  max_threads: 8,
  max_concurrent_queries_for_user: 32,
};

/** Modes in which a query over a limit would be answered in part. */
const OVERFLOW_MODES = ['result_overflow_mode', 'read_overflow_mode', 'timeout_overflow_mode'];

const PROFILE = 'poolmeter_reader';

/** Repeating them changes nothing but the password, if it is another one. */
export function readerStatements(
  { username, password }: ReaderUser,
  { database, cluster }: { readonly database: string; readonly cluster?: string | undefined },
): string[] {
  const where = cluster === undefined ? '' : ` ${onCluster(cluster)}`;
  const user = identifier(username);
  const digest = createHash('sha256').update(password).digest('hex');
  return [
    `CREATE SETTINGS PROFILE OR REPLACE ${PROFILE}${where} SETTINGS ${profileSettings().join(', ')}`,
    `CREATE USER IF NOT EXISTS ${user}${where} IDENTIFIED WITH sha256_hash BY '${digest}'`,
    `ALTER USER ${user}${where} IDENTIFIED WITH sha256_hash BY '${digest}' DEFAULT DATABASE ${identifier(database)} SETTINGS PROFILE '${PROFILE}'`,
    `REVOKE${where} ALL ON *.* FROM ${user}`,
    `GRANT${where} SELECT, SHOW ON ${identifier(database)}.* TO ${user}`,
  ];
}

function profileSettings(): string[] {
  // 2: reads only, and may send settings, but not this one. A limit of 0 would mean none, hence the MIN.
  return [
    'readonly = 2',
    'allow_ddl = 0 READONLY',
    'allow_introspection_functions = 0 READONLY',
    ...OVERFLOW_MODES.map((mode) => `${mode} = 'throw' READONLY`),
    "distributed_product_mode = 'local'",
    ...Object.entries(readerLimits).map(([name, limit]) => `${name} = ${limit} MIN 1 MAX ${limit}`),
  ];
}

/** Creates the user, or brings it to these limits. The embedded part keeps a reader of its own and refuses. */
export async function applyReaderUser(
  store: MetricsStore,
  reader: ReaderUser,
  cluster?: string,
): Promise<void> {
  for (const statement of readerStatements(reader, { database: store.database, cluster })) {
    await store.command(statement).catch((cause: unknown) => {
      throw new PoolmeterError(
        'dependency.refused',
        `ClickHouse refused to create the user ${reader.username}: give the user that migrates access management, or create ${reader.username} yourself.`,
        { cause },
      );
    });
  }
}
