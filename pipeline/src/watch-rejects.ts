/** How many rows the range checks of the store have refused: they happen in SQL, so they are counted there. */
import type { Meter } from '@opentelemetry/api';
import type { Clock } from '@poolmeter/domain';
import { column, defineQuery, type MetricsStore } from '@poolmeter/metrics-store';
import { repeatEvery, type Component, type Logger } from '@poolmeter/service';
import { z } from 'zod';

const rejectsBySource = defineQuery({
  name: 'rejects-by-source',
  sql: 'SELECT source, count() AS rows FROM ingest_rejects GROUP BY source ORDER BY source',
  params: z.object({}),
  row: z.object({ source: column.text, rows: column.wideInteger }),
});

const EVERY_MS = 30_000;

export interface RejectsWatchOptions {
  readonly store: Pick<MetricsStore, 'query'>;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function watchRejects({ store, meter, clock, logger }: RejectsWatchOptions): Component {
  let counts: readonly { source: string; rows: number }[] = [];
  meter
    .createObservableGauge('poolmeter.pipeline.rejected_rows', {
      description: 'Rows in ingest_rejects, by what refused them; kept for 90 days.',
    })
    .addCallback((result) => {
      for (const { source, rows } of counts) result.observe(rows, { source });
    });
  return repeatEvery({
    name: 'rejects watch',
    everyMs: EVERY_MS,
    clock,
    logger,
    run: async (signal) => {
      counts = await store.query(rejectsBySource, {}, { signal });
    },
  });
}
