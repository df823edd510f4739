/**
 * Kafka to ClickHouse: our pipeline against the Kafka engine of the same ClickHouse and against reading the same rows
 * from files, on one machine with the broker. Each round gives every contender the same million rows and empty tables.
 */
import type { Figures } from './bench.js';
import { median } from './median.js';
import { startContest, type Run } from './pipeline-contest.js';

const ROUNDS = 3;

export async function benchPipeline(): Promise<Figures> {
  const contest = await startContest();
  try {
    const ours: Run[] = [];
    const files: Run[] = [];
    const [one, two]: [Run[], Run[]] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      ours.push(await contest.ours(round));
      files.push(faster(await contest.fromFiles(1), await contest.fromFiles(2)));
      one.push(await contest.kafkaEngine(1, round));
      two.push(await contest.kafkaEngine(2, round));
    }
    return { rows: contest.rows, ...compared({ ours, files, one, two }) };
  } finally {
    await contest.stop();
  }
}

function faster(a: Run, b: Run): Run {
  return a.rowsPerSecond > b.rowsPerSecond ? a : b;
}

function compared(runs: Record<'ours' | 'files' | 'one' | 'two', readonly Run[]>): Figures {
  const of = (list: readonly Run[], figure: keyof Run) => median(list.map((run) => run[figure]));
  const rate = of(runs.ours, 'rowsPerSecond');
  const engine = Math.max(of(runs.one, 'rowsPerSecond'), of(runs.two, 'rowsPerSecond'));
  return {
    rows_per_s: rate,
    kafka_engine_rows_per_s: engine,
    ratio: rate / engine,
    file_ceiling_rows_per_s: of(runs.files, 'rowsPerSecond'),
    ceiling_share: rate / of(runs.files, 'rowsPerSecond'),
    cpu_s_per_million_rows: of(runs.ours, 'cpuSecondsPerMillionRows'),
    rss_mb: of(runs.ours, 'residentMegabytes'),
    file_ceiling_cpu_s_per_million_rows: of(runs.files, 'cpuSecondsPerMillionRows'),
    kafka_engine_1_rows_per_s: of(runs.one, 'rowsPerSecond'),
    kafka_engine_1_cpu_s_per_million_rows: of(runs.one, 'cpuSecondsPerMillionRows'),
    kafka_engine_2_rows_per_s: of(runs.two, 'rowsPerSecond'),
    kafka_engine_2_cpu_s_per_million_rows: of(runs.two, 'cpuSecondsPerMillionRows'),
  };
}
