/** What a reader can choose on the boards, and the conditions that the choices become. */
import { computedValue, dataSourceVariable, multiChoice, singleChoice } from 'grafana-dashboard-builder';

/** The uid of the provisioned data source. */
export const DATA_SOURCE = { name: 'poolmeter', uid: 'poolmeter-ch' } as const;

export const dataSource = dataSourceVariable(DATA_SOURCE);

export const poolVariable = multiChoice({
  name: 'pool',
  label: 'Pool',
  sql: `SELECT DISTINCT pool FROM gpu_latest FINAL WHERE ts >= $__fromTime ORDER BY pool`,
});

export const nodeVariable = multiChoice({
  name: 'node',
  label: 'Node',
  sql: `
    SELECT DISTINCT node
    FROM gpu_latest FINAL
    WHERE ts >= $__fromTime AND $__conditionalAll(pool IN (\${pool:singlequote}), $pool)
    ORDER BY node
  `,
});

/** One node at a time: lines per GPU stay readable however large the pool is. */
export const oneNodeVariable = singleChoice({
  name: 'node',
  label: 'Node',
  sql: nodeVariable.query.rawSql,
});

export const gpuVariable = multiChoice({
  name: 'gpu',
  label: 'GPU',
  sql: `
    SELECT gpu_uuid, concat('GPU ', toString(any(gpu_index)), ' ', gpu_uuid) AS text
    FROM gpu_latest FINAL
    WHERE ts >= $__fromTime AND node IN (\${node:singlequote})
    GROUP BY gpu_uuid
    ORDER BY text
  `,
});

export const customerVariable = multiChoice({
  name: 'customer',
  label: 'Customer',
  sql: `
    SELECT DISTINCT customer_id
    FROM leases FINAL
    WHERE started_at <= $__toTime AND (ended_at IS NULL OR ended_at >= $__fromTime)
    ORDER BY customer_id
  `,
});

/** Raw samples up to 6 hours, minutes up to 7 days, hours beyond. */
export const samplesVariable = computedValue({
  name: 'samples',
  sql: `
    SELECT multiIf(
      dateDiff('second', $__fromTime, $__toTime) <= 21600, 'gpu_samples',
      dateDiff('second', $__fromTime, $__toTime) <= 604800, 'gpu_samples_1m',
      'gpu_samples_1h') AS samples
  `,
  current: 'gpu_samples_1m',
});

export const inPool = '$__conditionalAll(pool IN (${pool:singlequote}), $pool)';
export const onNodes = '$__conditionalAll(node IN (${node:singlequote}), $node)';
export const ofCustomers = '$__conditionalAll(customer_id IN (${customer:singlequote}), $customer)';
export const onChosenGpus =
  'node IN (${node:singlequote}) AND $__conditionalAll(gpu_uuid IN (${gpu:singlequote}), $gpu)';
