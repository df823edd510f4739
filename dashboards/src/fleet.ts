/** Fleet: how many GPUs there are, how many are let, busy and doing work; what each of them does now. */
import {
  barGaugePanel,
  column,
  row,
  statPanel,
  tablePanel,
  tableTarget,
  thresholds,
  timeSeriesPanel,
  timeSeriesTarget,
  type Board,
  type Row,
  type UnplacedPanel,
} from 'grafana-dashboard-builder';
import { incidentAnnotation } from './annotations.js';
import {
  ageThresholds,
  countChart,
  gpuColumn,
  poolmeterBoard,
  powerChart,
  ratioChart,
  ratioColumn,
  temperatureChart,
} from './looks.js';
import { leasedOverTime } from './lease-hours.js';
import { sampleRows, sampleSeries, stepStart, summedOverGpus } from './sample-series.js';
import { dataSource, inPool, nodeVariable, onNodes, poolVariable, samplesVariable } from './variables.js';

const chosen = `${inPool} AND ${onNodes}`;
const NEWEST = `gpu_latest FINAL WHERE ts >= $__fromTime AND gpu_instance = '' AND ${chosen}`;
/** A GPU whose newest sample is older than this does not count as reporting. */
const REPORTING_S = 300;
const REPORTING = `ts >= now() - ${REPORTING_S}`;

export function fleetBoard(): Board {
  return poolmeterBoard({
    uid: 'poolmeter-fleet',
    title: 'Fleet',
    description: 'From the GPUs that exist to the work that they do, with the age of what is shown.',
    variables: [dataSource, poolVariable, nodeVariable, samplesVariable],
    annotations: [incidentAnnotation(chosen)],
    rows: [nowRow(), overTimeRow(), gpusRow()],
    from: 'now-6h',
  });
}

function nowRow(): Row {
  return row({
    id: 100,
    title: 'Now',
    panels: [
      barGaugePanel({
        id: 101,
        title: 'From existing to effective GPUs',
        description:
          'Known: seen within the time range. Reporting: newest sample at most 5 minutes old. Leased: shares of GPUs under running leases. Active: reporting with a utilisation above 5 %. Effective: sum of SM activity of the reporting GPUs. A stage that was not measured is not drawn.',
        size: { w: 12, h: 8 },
        unit: 'short',
        min: 0,
        targets: [funnel()],
      }),
      statPanel({
        id: 102,
        title: 'Age of the newest sample',
        description:
          'Time since the newest sample of the chosen GPUs; every other panel is at least this old.',
        unit: 's',
        thresholds: ageThresholds,
        targets: [
          tableTarget(
            `SELECT dateDiff('second', max(ts), now64(3)) AS age FROM ${NEWEST} HAVING count() > 0`,
          ),
        ],
      }),
      statPanel({
        id: 103,
        title: 'GPUs that stopped reporting',
        description: 'Known GPUs whose newest sample is older than 5 minutes. They are missing, not idle.',
        unit: 'short',
        thresholds: thresholds('green', [1, 'red']),
        targets: [
          tableTarget(`SELECT countIf(NOT (${REPORTING})) AS missing FROM ${NEWEST} HAVING count() > 0`),
        ],
      }),
      ...newestFigures(),
      statPanel({
        id: 107,
        title: 'Open incidents',
        description: 'Incidents that are neither resolved nor expired, whenever they began.',
        unit: 'short',
        thresholds: thresholds('green', [1, 'red']),
        targets: [
          tableTarget(`
            SELECT count() AS open
            FROM incidents FINAL
            WHERE opened_at <= now() AND status NOT IN ('resolved', 'expired') AND ${chosen}
          `),
        ],
      }),
    ],
  });
}

/** Figures of the newest samples of the GPUs that report. */
function newestFigures(): UnplacedPanel[] {
  return [
    statPanel({
      id: 104,
      title: 'Mean utilisation of reporting GPUs',
      description: 'Mean of GPU utilisation over the newest samples that had a value.',
      unit: 'percentunit',
      targets: [tableTarget(`SELECT avg(gpu_util_ratio) AS utilisation FROM ${NEWEST} AND ${REPORTING}`)],
    }),
    statPanel({
      id: 105,
      title: 'Power of reporting GPUs',
      description: 'Sum of the power draw over the newest samples that had a value.',
      unit: 'watt',
      targets: [
        tableTarget(
          `SELECT sum(power_watts) AS power FROM ${NEWEST} AND ${REPORTING} HAVING count(power_watts) > 0`,
        ),
      ],
    }),
    statPanel({
      id: 106,
      title: 'Hottest GPU',
      description: 'Highest core temperature among the newest samples.',
      unit: 'celsius',
      thresholds: thresholds('green', [85, 'orange'], [92, 'red']),
      targets: [
        tableTarget(`SELECT max(temperature_celsius) AS temperature FROM ${NEWEST} AND ${REPORTING}`),
      ],
    }),
  ];
}

function funnel() {
  return tableTarget(`
    SELECT stage, gpus
    FROM (
      SELECT 1 AS place, 'known' AS stage, toNullable(toFloat64(count())) AS gpus FROM ${NEWEST} HAVING count() > 0
      UNION ALL
      SELECT 2, 'reporting', toFloat64(countIf(${REPORTING})) FROM ${NEWEST} HAVING count() > 0
      UNION ALL
      SELECT 3, 'leased', toFloat64(sum(share_ratio))
      FROM leases FINAL
      WHERE started_at <= now() AND (ended_at IS NULL OR ended_at > now()) AND ${chosen}
      UNION ALL
      SELECT 4, 'active', toFloat64(countIf(gpu_util_ratio > 0.05))
      FROM ${NEWEST} AND ${REPORTING}
      HAVING count(gpu_util_ratio) > 0
      UNION ALL
      SELECT 5, 'effective', sum(sm_active_ratio) FROM ${NEWEST} AND ${REPORTING} HAVING count(sm_active_ratio) > 0
    )
    ORDER BY place
  `);
}

function overTimeRow(): Row {
  return row({
    id: 200,
    title: 'Over time',
    panels: [
      countChart({
        id: 201,
        title: 'Reporting and active GPUs',
        description: 'GPUs with a sample in the step, and those whose mean utilisation in it was above 5 %.',
        targets: [reportingAndActive(), timeSeriesTarget(leasedOverTime(chosen), 'B')],
      }),
      ratioChart({
        id: 202,
        title: 'Utilisation per pool',
        description:
          'GPU utilisation, SM activity and tensor pipe activity, mean over the samples that had a value.',
        targets: [
          sampleSeries({
            measures: [
              { as: 'utilisation', mean: 'gpu_util_ratio' },
              { as: 'SM active', mean: 'sm_active_ratio' },
              { as: 'tensor active', mean: 'tensor_active_ratio' },
            ],
            label: 'pool',
            where: chosen,
          }),
        ],
      }),
      powerChart({
        id: 203,
        title: 'Power per pool',
        description: 'Sum over the GPUs that reported of their mean power in the step.',
        targets: [summedOverGpus({ as: 'power', mean: 'power_watts', where: chosen })],
      }),
      temperatureChart({
        id: 204,
        title: 'Hottest GPU per node',
        description: 'Highest core temperature of the GPUs of a node in the step.',
        targets: [
          sampleSeries({
            measures: [{ as: 'hottest', largest: 'temperature_celsius' }],
            label: 'node',
            where: chosen,
          }),
        ],
      }),
      timeSeriesPanel({
        id: 205,
        title: 'Delay of samples',
        description:
          'Time from the collection of the last sample of a minute (an hour in long ranges) to its storage, longest of the node. Imported history is late by its age.',
        unit: 's',
        min: 0,
        size: { w: 24, h: 7 },
        targets: [
          timeSeriesTarget(`
            SELECT
              toStartOfInterval(ts, toIntervalSecond(greatest($__interval_s, 60))) AS time,
              node AS label,
              max(dateDiff('millisecond', ts_last, stored_at)) / 1000 AS delay
            FROM (${storedRows('gpu_samples_1m', '!=')} UNION ALL ${storedRows('gpu_samples_1h', '=')})
            GROUP BY time, label
            ORDER BY time, label
          `),
        ],
      }),
    ],
  });
}

function storedRows(table: string, comparison: '=' | '!=') {
  return `
    SELECT ts, node, ts_last, stored_at
    FROM ${table}
    WHERE '\${samples:raw}' ${comparison} 'gpu_samples_1h' AND $__timeFilter(ts) AND ${chosen}`;
}

function reportingAndActive() {
  return timeSeriesTarget(`
    SELECT time, toFloat64(count()) AS reporting, if(count(util) = 0, NULL, toFloat64(countIf(util > 0.05))) AS active
    FROM (
      SELECT ${stepStart} AS time, gpu_uuid, sum(total_0) / nullIf(sum(count_0), 0) AS util
      FROM (${sampleRows({ measures: [{ as: 'util', mean: 'gpu_util_ratio' }], where: chosen })})
      GROUP BY time, gpu_uuid
    )
    GROUP BY time
    ORDER BY time
  `);
}

function gpusRow(): Row {
  return row({
    id: 300,
    title: 'GPUs',
    panels: [
      tablePanel({
        id: 301,
        title: 'GPUs and MIG instances',
        description: 'The newest sample of each, with its age. Blank: the exporter did not say.',
        size: { w: 24, h: 14 },
        overrides: [
          gpuColumn,
          column('age', { unit: 's', cell: 'color-text', thresholds: ageThresholds }),
          ...['utilisation', 'SM active', 'tensor active', 'memory'].map(ratioColumn),
          column('temperature', {
            unit: 'celsius',
            cell: 'color-text',
            thresholds: thresholds('green', [85, 'orange'], [92, 'red']),
          }),
          column('power', { unit: 'watt' }),
          column('SM clock', { unit: 'rotmhz' }),
          column('uncorrectable ECC', { cell: 'color-text', thresholds: thresholds('green', [1, 'red']) }),
        ],
        targets: [
          tableTarget(`
            SELECT
              pool, node, gpu_index AS index, gpu_uuid, gpu_instance AS instance, gpu_model AS model,
              dateDiff('second', ts, now64(3)) AS age,
              gpu_util_ratio AS utilisation,
              sm_active_ratio AS \`SM active\`,
              tensor_active_ratio AS \`tensor active\`,
              memory_used_bytes / nullIf(memory_total_bytes, 0) AS memory,
              power_watts AS power,
              temperature_celsius AS temperature,
              sm_clock_mhz AS \`SM clock\`,
              ecc_uncorrectable_total AS \`uncorrectable ECC\`,
              last_xid AS \`last Xid latched\`
            FROM gpu_latest FINAL
            WHERE ts >= $__fromTime AND ${chosen}
            ORDER BY pool, node, index, instance
            LIMIT 5000
          `),
        ],
      }),
    ],
  });
}
