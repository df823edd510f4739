/** For tests: an embedded ClickHouse in a folder of its own, migrated, with a store on it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@poolmeter/service';
import { startEmbeddedClickHouse, type EmbeddedClickHouse } from './embedded-clickhouse.js';
import { migrateMetricsStore } from './migrate.js';
import { openMetricsStore, type MetricsStore } from './metrics-store.js';

export interface TestStore {
  readonly dataDir: string;
  readonly server: EmbeddedClickHouse;
  readonly store: MetricsStore;
  stop(): Promise<void>;
}

export const silentLogger = createLogger({ service: 'test', level: 'silent' });

export async function startTestStore(): Promise<TestStore> {
  const dataDir = await mkdtemp(join(tmpdir(), 'poolmeter-clickhouse-'));
  const server = await startEmbeddedClickHouse({ dataDir, logger: silentLogger });
  const store = openStoreOn(server);
  await migrateMetricsStore(store);
  return {
    dataDir,
    server,
    store,
    stop: async () => {
      await store.close();
      await server.stop();
      await rm(dataDir, { recursive: true });
    },
  };
}

export function openStoreOn(server: EmbeddedClickHouse): MetricsStore {
  const { url, username, password } = server;
  return openMetricsStore({ url, username, password, applicationName: 'test' });
}
