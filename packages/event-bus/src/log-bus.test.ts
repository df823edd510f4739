import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@poolmeter/service';
import { eventBusContract } from './event-bus-contract.js';
import { createLogBus } from './log-bus.js';

const logger = createLogger({ service: 'test', level: 'silent' });

eventBusContract('the log on LMDB', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-log-'));
  return {
    open: () => createLogBus({ directory, logger }),
    dispose: () => rm(directory, { recursive: true }),
  };
});
