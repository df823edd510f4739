/** Forward-only SQL migrations: numbered files per app, each run once, in one transaction, and never edited after. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { checkedUrl } from './relational-store.js';
import { ServerConnection } from './server-connection.js';

/** One app's migrations: `directory` holds files `NNNN_name.sql`; the app's schema has the set's name. */
export interface MigrationSet {
  readonly name: string;
  readonly directory: URL;
}

export interface AppliedMigration {
  readonly set: string;
  readonly file: string;
  readonly checksum: string;
}

interface MigrationFile extends AppliedMigration {
  readonly text: string;
}

const FILE_NAME = /^\d{4}_[a-z0-9_]+\.sql$/;
const LOCK_NAME = 'poolmeter.migrations';

/**
 * Applies what is missing, set by set, and returns it. Several processes may call this at once: one works, the others
 * wait. A file that was changed or removed after it ran is refused before anything is applied.
 */
export async function runMigrations(options: {
  readonly url: string;
  readonly sets: readonly MigrationSet[];
}): Promise<AppliedMigration[]> {
  const sets = await Promise.all(options.sets.map(readSet));
  const connection = new ServerConnection({
    url: checkedUrl(options.url),
    applicationName: 'poolmeter-migrate',
    statementTimeoutMs: 0,
  });
  try {
    await connection.query(`SELECT pg_advisory_lock(hashtextextended($1, 0))`, [LOCK_NAME]);
    await ensureHistory(connection);
    const missing: MigrationFile[] = [];
    for (const set of sets) missing.push(...missingFiles(set, await historyOf(connection, set.name)));
    for (const file of missing) await apply(connection, file);
    return missing.map(({ set, file, checksum }) => ({ set, file, checksum }));
  } finally {
    await connection.end();
  }
}

/** What the files of these sets are, in the order in which an empty database gets them. */
export async function knownMigrations(sets: readonly MigrationSet[]): Promise<AppliedMigration[]> {
  const read = await Promise.all(sets.map(readSet));
  return read.flatMap(({ files }) => files.map(({ set, file, checksum }) => ({ set, file, checksum })));
}

interface ReadSet {
  readonly name: string;
  readonly files: readonly MigrationFile[];
}

async function readSet(set: MigrationSet): Promise<ReadSet> {
  const names = (await readdir(set.directory)).filter((name) => name.endsWith('.sql')).sort();
  const wrong = names.find((name) => !FILE_NAME.test(name));
  if (wrong !== undefined) {
    throw new PoolmeterError('config.invalid', `Migration ${set.name}/${wrong}: name it NNNN_name.sql.`);
  }
  const numbers = names.map((name) => name.slice(0, 4));
  const repeated = numbers.find((number, index) => numbers.indexOf(number) !== index);
  if (repeated !== undefined) {
    throw new PoolmeterError(
      'config.invalid',
      `Migrations ${set.name}: the number ${repeated} is used twice.`,
    );
  }
  const directory = set.directory.href.endsWith('/') ? set.directory : new URL(`${set.directory.href}/`);
  const files = names.map(async (file) => {
    const text = await readFile(new URL(file, directory), 'utf8');
    return { set: set.name, file, text, checksum: createHash('sha256').update(text).digest('hex') };
  });
  return { name: set.name, files: await Promise.all(files) };
}

async function ensureHistory(connection: ServerConnection): Promise<void> {
  await connection.query(`CREATE SCHEMA IF NOT EXISTS poolmeter`);
  await connection.query(`
    CREATE TABLE IF NOT EXISTS poolmeter.migrations (
      set_name   text NOT NULL,
      file_name  text NOT NULL,
      checksum   text NOT NULL,
      applied_at timestamptz(3) NOT NULL DEFAULT now(),
      PRIMARY KEY (set_name, file_name)
    )`);
}

async function historyOf(connection: ServerConnection, set: string): Promise<Map<string, string>> {
  const text = 'SELECT file_name, checksum FROM poolmeter.migrations WHERE set_name = $1 ORDER BY file_name';
  const { rows } = await connection.query(text, [set]);
  return new Map(rows.map((row) => [String(row['file_name']), String(row['checksum'])]));
}

function missingFiles(set: ReadSet, history: ReadonlyMap<string, string>): MigrationFile[] {
  const present = new Map(set.files.map((file) => [file.file, file]));
  for (const [name, checksum] of history) {
    const file = present.get(name);
    if (file === undefined) {
      const advice = 'this program is older than the database, or the file was deleted';
      throw new PoolmeterError(
        'precondition_failed',
        `Migration ${set.name}/${name} ran here but is missing: ${advice}.`,
      );
    }
    if (file.checksum !== checksum) {
      const advice = 'restore the file and write the change as a new one';
      throw new PoolmeterError(
        'precondition_failed',
        `Migration ${set.name}/${name} was edited after it ran: ${advice}.`,
      );
    }
  }
  const last = [...history.keys()].at(-1) ?? '';
  const missing = set.files.filter((file) => !history.has(file.file));
  const late = missing.find((file) => file.file < last);
  if (late !== undefined) {
    throw new PoolmeterError(
      'precondition_failed',
      `Migration ${set.name}/${late.file} comes before ${last}, which ran already: give it a higher number.`,
    );
  }
  return missing;
}

async function apply(connection: ServerConnection, file: MigrationFile): Promise<void> {
  try {
    await connection.query('BEGIN');
    await connection.query(file.text);
    const record = 'INSERT INTO poolmeter.migrations (set_name, file_name, checksum) VALUES ($1, $2, $3)';
    await connection.query(record, [file.set, file.file, file.checksum]);
    await connection.query('COMMIT');
  } catch (cause) {
    // The connection is ended by the caller, which rolls back.
    const details = { set: file.set, file: file.file };
    const message = `Migration ${file.set}/${file.file} failed: ${messageOf(cause)}`;
    throw new PoolmeterError('internal', message, { details, cause });
  }
}
