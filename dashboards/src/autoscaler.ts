/** Autoscaler: what was decided, why, and what it looked like to the pool. */
import {
  column,
  row,
  statPanel,
  tablePanel,
  tableTarget,
  timeSeriesTarget,
  type Board,
  type Row,
  type UnplacedPanel,
} from 'grafana-dashboard-builder';
import { decisionAnnotation } from './annotations.js';
import { leasedOverTime } from './lease-hours.js';
import { countBars, countChart, halfTable, poolmeterBoard, ratioChart } from './looks.js';
import { sampleRows, sampleSeries, stepStart } from './sample-series.js';
import { dataSource, inPool, poolVariable, samplesVariable } from './variables.js';

export function autoscalerBoard(): Board {
  return poolmeterBoard({
    uid: 'poolmeter-autoscaler',
    title: 'Autoscaler',
    description: 'Decisions with their reasons, beside the supply and the demand that they answer.',
    variables: [dataSource, poolVariable, samplesVariable],
    annotations: [decisionAnnotation(inPool)],
    rows: [stateRow(), decisionsRow()],
    from: 'now-24h',
  });
}

/** The sentences of a list of reasons or guards. */
const texts = (name: string) =>
  `arrayStringConcat(arrayMap(entry -> JSONExtractString(entry, 'text'), JSONExtractArrayRaw(${name})), '; ')`;

function stateRow(): Row {
  return row({
    id: 100,
    title: 'Supply and demand',
    panels: [
      ...decisionFigures(),
      countChart({
        id: 105,
        title: 'Reporting and leased GPUs',
        description: 'GPUs with a sample in the step, and the mean number of leased ones.',
        targets: [reportingGpus(), timeSeriesTarget(leasedOverTime(inPool), 'B')],
      }),
      ratioChart({
        id: 106,
        title: 'Utilisation of the pools',
        description: 'Mean over the samples that had a value.',
        targets: [
          sampleSeries({
            measures: [{ as: 'utilisation', mean: 'gpu_util_ratio' }],
            label: 'pool',
            where: inPool,
          }),
        ],
      }),
      countChart({
        id: 107,
        title: 'Demand and forecast',
        description:
          'GPUs that running and waiting work asked for, and those that the forecast of the decision expected.',
        size: { w: 24, h: 7 },
        targets: [demandAndForecast()],
      }),
    ],
  });
}

function decisionFigures(): UnplacedPanel[] {
  return [
    statPanel({
      id: 101,
      title: 'Decisions in the range',
      description: 'Decisions that name something to do.',
      unit: 'short',
      size: { w: 6, h: 4 },
      targets: [decisionCount(`action != 'none'`)],
    }),
    statPanel({
      id: 102,
      title: 'Carried out',
      description: 'Decisions that were carried out to the end.',
      unit: 'short',
      size: { w: 6, h: 4 },
      targets: [decisionCount(`status = 'done'`)],
    }),
    statPanel({
      id: 103,
      title: 'Held back, refused or failed',
      description: 'Decisions that a guard held, a person or the scheduler refused, or that failed.',
      unit: 'short',
      size: { w: 6, h: 4 },
      targets: [decisionCount(`status IN ('held', 'refused', 'failed')`)],
    }),
    statPanel({
      id: 104,
      title: 'Age of the newest decision',
      description: 'Time since the newest decision of the chosen pools, whatever it said.',
      unit: 's',
      size: { w: 6, h: 4 },
      targets: [
        tableTarget(`
            SELECT dateDiff('second', max(decided_at), now64(3)) AS age
            FROM scaling_decisions FINAL
            WHERE $__timeFilter(decided_at) AND ${inPool}
            HAVING count() > 0
          `),
      ],
    }),
  ];
}

function decisionCount(condition: string) {
  return tableTarget(`
    SELECT countIf(${condition}) AS decisions
    FROM scaling_decisions FINAL
    WHERE $__timeFilter(decided_at) AND ${inPool}
    HAVING count() > 0
  `);
}

function reportingGpus() {
  return timeSeriesTarget(`
    SELECT ${stepStart} AS time, pool AS label, uniqExact(gpu_uuid) AS reporting
    FROM (${sampleRows({ measures: [{ as: 'util', mean: 'gpu_util_ratio' }], where: inPool })})
    GROUP BY time, label
    ORDER BY time, label
  `);
}

/** A decision whose forecast says nothing gives no point. */
function demandAndForecast() {
  const field = (name: string) =>
    `avgIf(JSONExtractFloat(forecast, '${name}'), JSONHas(forecast, '${name}'))`;
  return timeSeriesTarget(`
    SELECT
      toStartOfInterval(decided_at, toIntervalSecond(greatest($__interval_s, 60))) AS time,
      pool AS label,
      ${field('demand_gpus')} AS demand,
      ${field('expected_gpus')} AS expected
    FROM scaling_decisions FINAL
    WHERE $__timeFilter(decided_at) AND JSONHas(forecast, 'demand_gpus') AND ${inPool}
    GROUP BY time, label
    ORDER BY time, label
  `);
}

function decisionsRow(): Row {
  return row({
    id: 200,
    title: 'Decisions',
    panels: [
      countBars({
        id: 201,
        title: 'Decisions by action',
        description: 'Number of decisions per step and action.',
        targets: [
          timeSeriesTarget(`
            SELECT
              toStartOfInterval(decided_at, toIntervalSecond(greatest($__interval_s, 60))) AS time,
              action AS label,
              count() AS decisions
            FROM scaling_decisions FINAL
            WHERE $__timeFilter(decided_at) AND ${inPool}
            GROUP BY time, label
            ORDER BY time, label
          `),
        ],
      }),
      ...decisionTables(),
    ],
  });
}

function decisionTables(): UnplacedPanel[] {
  return [
    halfTable({
      id: 202,
      title: 'Guards that spoke',
      description: 'How often each guard had something against a decision.',
      targets: [
        tableTarget(`
            SELECT
              JSONExtractString(hit, 'guard') AS guard, JSONExtractString(hit, 'effect') AS effect,
              count() AS decisions, max(decided_at) AS last
            FROM (
              SELECT decided_at, arrayJoin(JSONExtractArrayRaw(guards)) AS hit
              FROM scaling_decisions FINAL
              WHERE $__timeFilter(decided_at) AND ${inPool}
            )
            GROUP BY guard, effect
            ORDER BY decisions DESC, guard, effect
          `),
      ],
    }),
    tablePanel({
      id: 203,
      title: 'Decisions with reasons',
      description: 'The newest 500 decisions: what, on which nodes, why, and what came of it.',
      size: { w: 24, h: 12 },
      overrides: [
        column('decided', { width: 180 }),
        column('why', { width: 480 }),
        column('held_by', { displayName: 'held by' }),
        column('came_of_it', { displayName: 'came of it' }),
      ],
      targets: [
        tableTarget(`
            SELECT
              decided_at AS decided, pool, mode, action, status,
              arrayStringConcat(arrayMap(target -> if(JSONHas(target, 'node'), JSONExtractString(target, 'node'),
                concat(toString(JSONExtractInt(target, 'count')), ' x ', JSONExtractString(target, 'gpu_model'))),
                JSONExtractArrayRaw(targets)), ', ') AS nodes,
              ${texts('reasons')} AS why,
              ${texts('guards')} AS held_by,
              if(outcome IN ('', '{}', 'null'), NULL, outcome) AS came_of_it, id
            FROM scaling_decisions FINAL
            WHERE $__timeFilter(decided_at) AND ${inPool}
            ORDER BY decided DESC
            LIMIT 500
          `),
      ],
    }),
  ];
}
