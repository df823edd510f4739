export {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from './embedded-postgres.js';
export { backupDatabase, type BackedUpDatabase } from './backup/backup-database.js';
export { expectEmptyDatabase, restoreDatabase } from './backup/restore-database.js';
export { knownMigrations, runMigrations, type AppliedMigration, type MigrationSet } from './migrations.js';
export { createOutboxRelay, type OutboxRelayOptions, type RelayedMessage } from './outbox-relay.js';
export { outboxDdl, writeOutbox, type OutboxMessage } from './outbox.js';
export {
  openRelationalStore,
  type HeldLock,
  type RelationalStore,
  type RelationalStoreOptions,
  type TransactionOptions,
} from './relational-store.js';
export { errorFromServer, isSerializationFailure, type SqlErrorDetails } from './server-error.js';
