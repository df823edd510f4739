/** Faults: what broke, what is still broken, and what it means for the bill. */
import {
  column,
  row,
  statPanel,
  tablePanel,
  tableTarget,
  thresholds,
  timeSeriesTarget,
  type Board,
  type Row,
  type UnplacedPanel,
} from 'grafana-dashboard-builder';
import { incidentAnnotation } from './annotations.js';
import { ageThresholds, countBars, halfTable, poolmeterBoard, severityColumn } from './looks.js';
import { dataSource, inPool, nodeVariable, onNodes, poolVariable } from './variables.js';

const chosen = `${inPool} AND ${onNodes}`;
const OPEN = `status NOT IN ('resolved', 'expired')`;

export function faultsBoard(): Board {
  return poolmeterBoard({
    uid: 'poolmeter-faults',
    title: 'Faults',
    description:
      'Incidents and the events that they rest on. The Xid that an exporter latched is never counted as a fault.',
    variables: [dataSource, poolVariable, nodeVariable],
    annotations: [incidentAnnotation(chosen)],
    rows: [openRow(), eventsRow(), historyRow()],
    from: 'now-24h',
  });
}

function openRow(): Row {
  return row({
    id: 100,
    title: 'Open',
    panels: [
      ...openFigures(),
      tablePanel({
        id: 105,
        title: 'Open incidents with runbook',
        description: 'Incidents that are not over, whenever they began, with what to do.',
        overrides: [
          severityColumn,
          column('age', { unit: 's' }),
          column('runbook', { link: { title: 'Runbook', url: '${__value.raw}' } }),
        ],
        targets: [
          tableTarget(`
            SELECT
              opened_at AS opened, dateDiff('second', opened_at, now64(3)) AS age, severity, code, title, status, blame,
              billing_class AS billing, pool, node, arrayStringConcat(gpu_uuids, ', ') AS gpus,
              length(affected_lease_ids) AS leases, evidence_count AS evidence, runbook_url AS runbook
            FROM incidents FINAL
            WHERE opened_at <= now() AND ${OPEN} AND ${chosen}
            ORDER BY opened DESC
            LIMIT 500
          `),
        ],
      }),
    ],
  });
}

function openFigures(): UnplacedPanel[] {
  return [
    statPanel({
      id: 101,
      title: 'Open incidents by hardware',
      description: 'Incidents that are not over and are blamed on the hardware.',
      unit: 'short',
      size: { w: 6, h: 4 },
      thresholds: thresholds('green', [1, 'red']),
      targets: [openCount(`blame = 'hardware'`)],
    }),
    statPanel({
      id: 102,
      title: 'Open incidents by application',
      description: 'Incidents that are not over and are blamed on what the customer ran.',
      unit: 'short',
      size: { w: 6, h: 4 },
      thresholds: thresholds('green', [1, 'orange']),
      targets: [openCount(`blame = 'application'`)],
    }),
    statPanel({
      id: 103,
      title: 'GPUs in open incidents',
      description: 'Distinct GPUs that open incidents touch.',
      unit: 'short',
      size: { w: 6, h: 4 },
      thresholds: thresholds('green', [1, 'red']),
      targets: [
        tableTarget(
          `SELECT uniqExactArray(gpu_uuids) AS gpus FROM incidents FINAL WHERE opened_at <= now() AND ${OPEN} AND ${chosen}`,
        ),
      ],
    }),
    statPanel({
      id: 104,
      title: 'Age of the newest sample of these nodes',
      description: 'Without samples no fault can be seen: time since the newest one.',
      unit: 's',
      size: { w: 6, h: 4 },
      thresholds: ageThresholds,
      targets: [
        tableTarget(
          `SELECT dateDiff('second', max(ts), now64(3)) AS age FROM gpu_latest FINAL WHERE ts >= $__fromTime AND ${chosen} HAVING count() > 0`,
        ),
      ],
    }),
  ];
}

function openCount(condition: string) {
  return tableTarget(
    `SELECT count() AS open FROM incidents FINAL WHERE opened_at <= now() AND ${OPEN} AND ${condition} AND ${chosen}`,
  );
}

function eventsRow(): Row {
  return row({
    id: 200,
    title: 'Events',
    panels: [
      countBars({
        id: 201,
        title: 'Xid events by code',
        description:
          'Xid lines of the kernel log per step and code; each line counts once, however often it was read.',
        targets: [eventsOverTime(`concat('Xid ', toString(code))`, `kind = 'xid'`)],
      }),
      countBars({
        id: 202,
        title: 'Other events by kind',
        description: 'GPUs and sources that were lost or came back, restarts, counter resets, clock steps.',
        targets: [eventsOverTime('kind', `kind != 'xid'`)],
      }),
      halfTable({
        id: 203,
        title: 'Xid codes in the range',
        description: 'How often each code occurred and on how many GPUs.',
        targets: [
          tableTarget(`
            SELECT code, count() AS events, uniqExactIf(gpu_uuid, gpu_uuid != '') AS gpus, min(ts) AS first, max(ts) AS last
            FROM gpu_events FINAL
            WHERE $__timeFilter(ts) AND kind = 'xid' AND ${chosen}
            GROUP BY code
            ORDER BY events DESC, code
          `),
        ],
      }),
      halfTable({
        id: 204,
        title: 'Newest events',
        description: 'The newest 500 events with the raw line as evidence.',
        targets: [
          tableTarget(`
            SELECT ts AS time, pool, node, gpu_uuid, kind, code, message
            FROM gpu_events FINAL
            WHERE $__timeFilter(ts) AND ${chosen}
            ORDER BY time DESC
            LIMIT 500
          `),
        ],
      }),
    ],
  });
}

function eventsOverTime(label: string, condition: string) {
  return timeSeriesTarget(`
    SELECT
      toStartOfInterval(ts, toIntervalSecond(greatest($__interval_s, 60))) AS time,
      ${label} AS label,
      count() AS events
    FROM gpu_events FINAL
    WHERE $__timeFilter(ts) AND ${condition} AND ${chosen}
    GROUP BY time, label
    ORDER BY time, label
  `);
}

function historyRow(): Row {
  return row({
    id: 300,
    title: 'History',
    panels: [
      halfTable({
        id: 301,
        title: 'Incidents that began in the range',
        description: 'Every incident that began in the range, with its length and its class on the bill.',
        overrides: [severityColumn, column('lasted', { unit: 's' })],
        targets: [
          tableTarget(`
            SELECT
              opened_at AS opened, severity, code, title, status, blame, billing_class AS billing, node,
              dateDiff('second', opened_at, cleared_at) AS lasted
            FROM incidents FINAL
            WHERE $__timeFilter(opened_at) AND ${chosen}
            ORDER BY opened DESC
            LIMIT 500
          `),
        ],
      }),
      halfTable({
        id: 302,
        title: 'Nodes with most incidents',
        description:
          'Incidents that began in the range per node, and the mean time until the fault was over.',
        overrides: [column('mean time to clear', { unit: 's' })],
        targets: [
          tableTarget(`
            SELECT node, count() AS incidents, avg(dateDiff('second', opened_at, cleared_at)) AS \`mean time to clear\`
            FROM incidents FINAL
            WHERE $__timeFilter(opened_at) AND ${chosen}
            GROUP BY node
            ORDER BY incidents DESC, node
            LIMIT 50
          `),
        ],
      }),
    ],
  });
}
