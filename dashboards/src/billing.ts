/**
 * Billing: GPU time that is billed, excluded and held, the evidence behind it, and leased time that nothing used. Amounts
 * come from the rated intervals as billing wrote them; no amount is computed from samples or rollups.
 */
import {
  column,
  row,
  statPanel,
  tablePanel,
  tableTarget,
  timeSeriesTarget,
  type Board,
  type Row,
} from 'grafana-dashboard-builder';
import { leasedHoursWithUtilisation, leasedOverTime } from './lease-hours.js';
import { countChart, halfTable, hoursBars, poolmeterBoard, ratioColumn } from './looks.js';
import { customerVariable, dataSource, inPool, ofCustomers, poolVariable } from './variables.js';

const chosen = `${inPool} AND ${ofCustomers}`;
/** An interval belongs to the range in which it begins: so that neighbouring ranges add up, none is cut. */
const INTERVALS = `billable_intervals FINAL WHERE $__timeFilter(started_at) AND ${chosen}`;

export function billingBoard(): Board {
  return poolmeterBoard({
    uid: 'poolmeter-billing',
    title: 'Billing',
    description:
      'GPU-hours and what backs them. For looking, not for paying: the invoice is the truth about money.',
    variables: [dataSource, poolVariable, customerVariable],
    rows: [totalsRow(), customersRow(), idleRow()],
    from: 'now-7d',
  });
}

function totalsRow(): Row {
  const total = (id: number, title: string, outcome: string, description: string) =>
    statPanel({
      id,
      title,
      description,
      unit: 'h',
      decimals: 2,
      size: { w: 6, h: 4 },
      targets: [
        tableTarget(
          `SELECT toFloat64(sumIf(gpu_hours, outcome = '${outcome}')) AS hours FROM ${INTERVALS} HAVING count() > 0`,
        ),
      ],
    });
  return row({
    id: 100,
    title: 'GPU-hours',
    panels: [
      total(101, 'Billed', 'billed', 'GPU-hours of intervals that begin in the range and are billed.'),
      total(102, 'Excluded', 'excluded', 'GPU-hours that faults of the hardware took off the bill.'),
      total(103, 'Held', 'held', 'GPU-hours that wait for a verdict.'),
      statPanel({
        id: 104,
        title: 'Age of the newest interval',
        description:
          'Time since the end of the newest rated interval: usage after it is not on this board yet.',
        unit: 's',
        size: { w: 6, h: 4 },
        targets: [
          tableTarget(
            `SELECT dateDiff('second', max(ended_at), now64(3)) AS age FROM ${INTERVALS} HAVING count() > 0`,
          ),
        ],
      }),
      hoursBars({
        id: 105,
        title: 'GPU-hours by outcome',
        description: 'GPU-hours of the intervals by the hour or step in which they begin.',
        targets: [
          timeSeriesTarget(`
            SELECT
              toStartOfInterval(started_at, toIntervalSecond(greatest($__interval_s, 3600))) AS time,
              outcome AS label,
              toFloat64(sum(gpu_hours)) AS hours
            FROM ${INTERVALS}
            GROUP BY time, label
            ORDER BY time, label
          `),
        ],
      }),
      countChart({
        id: 106,
        title: 'Leased GPUs',
        description: 'Mean number of leased GPUs, whole or shares of them, in the step.',
        targets: [timeSeriesTarget(leasedOverTime(chosen))],
      }),
    ],
  });
}

function customersRow(): Row {
  return row({
    id: 200,
    title: 'Customers',
    panels: [
      tablePanel({
        id: 201,
        title: 'GPU-hours per customer',
        description:
          'Intervals that begin in the range. Amount: as rated, before the rounding of invoice lines; blank where a price is missing.',
        targets: [
          tableTarget(`
            SELECT
              customer_id AS customer, currency, pricing_mode AS mode,
              sumIf(gpu_hours, outcome = 'billed') AS billed,
              sumIf(gpu_hours, outcome = 'excluded') AS excluded,
              sumIf(gpu_hours, outcome = 'held') AS held,
              if(countIf(outcome = 'billed' AND amount IS NULL) = 0, sumIf(amount, outcome = 'billed'), NULL) AS amount
            FROM ${INTERVALS}
            GROUP BY customer, currency, mode
            ORDER BY billed DESC, customer, currency, mode
            LIMIT 1000
          `),
        ],
        overrides: ['billed', 'excluded', 'held'].map((name) => column(name, { unit: 'h', decimals: 2 })),
      }),
      halfTable({
        id: 202,
        title: 'Why time is not billed',
        description: 'Excluded and held GPU-hours by reason and incident.',
        overrides: [column('hours', { unit: 'h', decimals: 2 })],
        targets: [
          tableTarget(`
            SELECT outcome, reason, incident_id AS incident, sum(gpu_hours) AS hours, uniqExact(customer_id) AS customers
            FROM ${INTERVALS} AND outcome IN ('excluded', 'held')
            GROUP BY outcome, reason, incident
            ORDER BY hours DESC, incident
            LIMIT 500
          `),
        ],
      }),
      halfTable({
        id: 203,
        title: 'Evidence coverage per customer',
        description:
          'Of the minutes of billed intervals that begin in the range, those with at least one sample. A missing sample never changes an invoice by itself.',
        overrides: [
          column('minutes_billed', { displayName: 'minutes' }),
          column('minutes_with_samples', { displayName: 'with samples' }),
          ratioColumn('covered'),
        ],
        targets: [evidenceCoverage()],
      }),
    ],
  });
}

/**
 * Per GPU and hour the minutes are the bits of a number, so that months of intervals compare at the cost of their hours.
 * A minute counts whole where an interval touches it.
 */
function evidenceCoverage() {
  return tableTarget(`
    SELECT
      billed.customer_id AS customer,
      sum(bitCount(billed.minutes)) AS minutes_billed,
      sum(bitCount(bitAnd(billed.minutes, sampled.minutes))) AS minutes_with_samples,
      minutes_with_samples / minutes_billed AS covered
    FROM (
      SELECT
        customer_id, gpu_uuid, gpu_instance, toUInt32(hour * 3600) AS hour_s,
        groupBitOr(bitShiftLeft(
          bitShiftLeft(toUInt64(1), least(last_minute, hour * 60 + 59) - greatest(first_minute, hour * 60) + 1) - 1,
          greatest(first_minute, hour * 60) - hour * 60)) AS minutes
      FROM (
        SELECT
          customer_id, gpu_uuid, gpu_instance, intDiv(toUnixTimestamp(started_at), 60) AS first_minute,
          intDiv(toUnixTimestamp(ended_at) - 1, 60) AS last_minute
        FROM ${INTERVALS} AND outcome = 'billed' AND ended_at > started_at
      )
      ARRAY JOIN range(intDiv(first_minute, 60), intDiv(last_minute, 60) + 1) AS hour
      GROUP BY customer_id, gpu_uuid, gpu_instance, hour_s
    ) AS billed
    LEFT JOIN (
      SELECT gpu_uuid, gpu_instance, toUnixTimestamp(toStartOfHour(ts)) AS hour_s,
        groupBitOr(bitShiftLeft(toUInt64(1), toMinute(ts))) AS minutes
      FROM gpu_samples_1m
      WHERE ts >= toStartOfHour($__fromTime) AND gpu_uuid IN (SELECT gpu_uuid FROM ${INTERVALS})
      GROUP BY gpu_uuid, gpu_instance, hour_s
    ) AS sampled
    ON billed.gpu_uuid = sampled.gpu_uuid AND billed.gpu_instance = sampled.gpu_instance AND billed.hour_s = sampled.hour_s
    GROUP BY customer
    ORDER BY covered, customer
    LIMIT 1000
  `);
}

function idleRow(): Row {
  return row({
    id: 300,
    title: 'Leased and idle',
    panels: [
      hoursBars({
        id: 301,
        title: 'Leased GPU-hours: used, idle, not measured',
        description:
          'Leased GPU-hours times the utilisation of the hour. Hours without a measurement stand apart: they are neither used nor idle.',
        targets: [idleOverTime()],
      }),
      halfTable({
        id: 302,
        title: 'Idle GPU-hours per customer',
        description:
          'Leased GPU-hours in the range and the part of them in which no kernel ran; blank when nothing was measured.',
        overrides: [
          ...['leased', 'idle', 'not measured'].map((name) => column(name, { unit: 'h', decimals: 2 })),
          ratioColumn('idle share'),
        ],
        targets: [
          tableTarget(`
            SELECT
              customer_id AS customer, sum(gpu_hours) AS leased,
              if(count(util) = 0, NULL, sum(gpu_hours * (1 - util))) AS idle,
              sumIf(gpu_hours, util IS NULL) AS \`not measured\`,
              sum(gpu_hours * (1 - util)) / nullIf(sumIf(gpu_hours, util IS NOT NULL), 0) AS \`idle share\`
            FROM (${leasedHoursWithUtilisation(chosen)})
            GROUP BY customer
            ORDER BY idle DESC, customer
            LIMIT 1000
          `),
        ],
      }),
    ],
  });
}

function idleOverTime() {
  return timeSeriesTarget(`
    SELECT
      toDateTime(intDiv(hour_s, slot_s) * slot_s, 'UTC') AS time,
      if(count(util) = 0, NULL, sum(gpu_hours * util)) AS used,
      if(count(util) = 0, NULL, sum(gpu_hours * (1 - util))) AS idle,
      sumIf(gpu_hours, util IS NULL) AS \`not measured\`
    FROM (
      SELECT *, toUInt32(greatest(3600, intDiv($__interval_s, 3600) * 3600)) AS slot_s
      FROM (${leasedHoursWithUtilisation(chosen)})
    )
    GROUP BY time
    ORDER BY time
  `);
}
