/** For the crash test: closes a month on a given database, again and again, until it is killed. Prints when it is done. */
import { ManualClock, parseInstant } from '@poolmeter/domain';
import { openRelationalStore } from '@poolmeter/relational-store';
import { createLogger } from '@poolmeter/service';
import { timeZoneDataVersion } from '../create-billing.js';
import type { BillingDatabase } from '../database.js';
import { closePeriod } from './close-period.js';

const [url = '', month = '', now = ''] = process.argv.slice(2);
const store = openRelationalStore<BillingDatabase>({ url, applicationName: 'close-until-killed' });
const deps = {
  store,
  clock: new ManualClock(parseInstant(now)),
  logger: createLogger({ service: 'test', level: 'silent' }),
  evidence: {
    evidenceOf: (stretches: readonly unknown[]) =>
      Promise.resolve(
        stretches.map(() => ({
          coveredMs: 0,
          gapMs: 0,
          sampleCount: 0,
          meanActivityRatio: null,
          energyJoules: null,
        })),
      ),
    samplesOf: () => Promise.resolve([]),
    usedHours: () => Promise.resolve([]),
    copiesOf: () => Promise.resolve([]),
  },
  tzdataVersion: timeZoneDataVersion(),
  meterPosition: { ends: () => Promise.resolve([]), missing: () => Promise.resolve([]) },
  graceMs: 0,
  positionWaitMs: 0,
};

process.stdout.write('ready\n');
const closed = await closePeriod(deps, { month }, () => Promise.resolve());
await store.close();
process.stdout.write(`${JSON.stringify(closed.map((one) => one.outcome))}\n`);
