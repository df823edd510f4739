import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@poolmeter/domain';
import { createLogger } from '@poolmeter/service';
import type { BusBackend } from './bus-test-bench.js';
import { eventBusContract } from './event-bus-contract.js';
import { LmdbEnvironment } from './lmdb-environment.js';
import { createLogBus } from './log-bus.js';
import { LogStore } from './log-store.js';
import { positionContract } from './position-contract.js';

const logger = createLogger({ service: 'test', level: 'silent' });

async function createBackend(): Promise<BusBackend> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-log-'));
  return {
    open: () => createLogBus({ directory, logger }),
    dropStored: async (topic) => {
      const environment = new LmdbEnvironment({ directory, mapSizeBytes: 2 ** 30, tablesMax: 1_024 });
      const store = new LogStore({
        environment,
        clock: systemClock,
        defaultRetention: { retentionMs: 86_400_000, retentionBytes: 1e9 },
        reserveBytes: 0,
      });
      await store.ensureTopics([{ name: topic, partitions: 1, retentionBytes: 1 }]);
      await store.trim();
      await store.ensureTopics([{ name: topic, partitions: 1 }]);
      await environment.close();
    },
    dispose: () => rm(directory, { recursive: true }),
  };
}

eventBusContract('the log on LMDB', createBackend);
positionContract('the log on LMDB', createBackend);
