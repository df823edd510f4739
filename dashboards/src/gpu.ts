/** GPU: what the chosen GPUs of one node measured, from utilisation to the reasons for low clocks. */
import {
  column,
  row,
  stateTimelinePanel,
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
  clockChart,
  halfTable,
  memoryChart,
  poolmeterBoard,
  powerChart,
  ratioChart,
  ratioColumn,
  temperatureChart,
  trafficChart,
} from './looks.js';
import { gpuLabel, instanceLabel, sampleSeries, type Measure } from './sample-series.js';
import {
  dataSource,
  gpuVariable,
  oneNodeVariable,
  onChosenGpus,
  poolVariable,
  samplesVariable,
} from './variables.js';

const perGpu = (...measures: Measure[]) => [sampleSeries({ measures, label: gpuLabel, where: onChosenGpus })];
const perInstance = (...measures: Measure[]) => [
  sampleSeries({ measures, label: instanceLabel, where: onChosenGpus, rows: 'gpu_instance' }),
];

export function gpuBoard(): Board {
  return poolmeterBoard({
    uid: 'poolmeter-gpu',
    title: 'GPU',
    description: 'The measurements of the GPUs of one node. A gap in a line is time without a measurement.',
    variables: [dataSource, poolVariable, oneNodeVariable, gpuVariable, samplesVariable],
    annotations: [incidentAnnotation('node IN (${node:singlequote})')],
    rows: [nowRow(), loadRow(), heatAndPowerRow(), clocksRow(), trafficRow(), errorsRow(), instancesRow()],
    from: 'now-1h',
  });
}

function nowRow(): Row {
  return row({
    id: 100,
    title: 'Now',
    panels: [
      tablePanel({
        id: 101,
        title: 'Newest samples',
        description:
          'The newest sample of each chosen GPU, with its age and the lease that the scheduler named.',
        size: { w: 24, h: 6 },
        overrides: [
          column('age', { unit: 's', cell: 'color-text', thresholds: ageThresholds }),
          ...['utilisation', 'SM active'].map(ratioColumn),
          column('temperature', { unit: 'celsius' }),
          column('margin', { unit: 'celsius' }),
          column('power', { unit: 'watt' }),
          column('power limit', { unit: 'watt' }),
          column('memory used', { unit: 'bytes' }),
        ],
        targets: [
          tableTarget(`
            SELECT
              gpu_index AS index, gpu_uuid, gpu_model AS model, dateDiff('second', ts, now64(3)) AS age,
              gpu_util_ratio AS utilisation, sm_active_ratio AS \`SM active\`, memory_used_bytes AS \`memory used\`,
              temperature_celsius AS temperature, temperature_margin_celsius AS margin,
              power_watts AS power, power_limit_watts AS \`power limit\`, lease_id AS lease
            FROM gpu_latest FINAL
            WHERE ts >= $__fromTime AND gpu_instance = '' AND ${onChosenGpus}
            ORDER BY index
          `),
        ],
      }),
    ],
  });
}

function loadRow(): Row {
  return row({
    id: 200,
    title: 'Load',
    panels: [
      ratioChart({
        id: 201,
        title: 'Utilisation',
        description:
          'Share of time in which a kernel ran. High also for a kernel that uses little of the GPU.',
        targets: perGpu({ as: 'utilisation', mean: 'gpu_util_ratio' }),
      }),
      ratioChart({
        id: 202,
        title: 'SM active',
        description: 'Share of the multiprocessors that had work, mean over time.',
        targets: perGpu({ as: 'SM active', mean: 'sm_active_ratio' }),
      }),
      ratioChart({
        id: 203,
        title: 'Tensor active',
        description: 'Share of time in which the tensor pipe was busy.',
        targets: perGpu({ as: 'tensor active', mean: 'tensor_active_ratio' }),
      }),
      ratioChart({
        id: 204,
        title: 'Device memory active',
        description: 'Share of time in which the interface of the device memory was busy.',
        targets: perGpu({ as: 'memory active', mean: 'dram_active_ratio' }),
      }),
      memoryChart({
        id: 205,
        title: 'Framebuffer used',
        description: 'Largest use of device memory in the step.',
        size: { w: 24, h: 8 },
        targets: perGpu({ as: 'used', largest: 'memory_used_bytes' }),
      }),
    ],
  });
}

function heatAndPowerRow(): Row {
  return row({
    id: 300,
    title: 'Heat and power',
    panels: [
      temperatureChart({
        id: 301,
        title: 'Core temperature',
        description: 'Highest core temperature in the step.',
        targets: perGpu({ as: 'core', largest: 'temperature_celsius' }),
      }),
      temperatureChart({
        id: 302,
        title: 'Memory temperature',
        description: 'Highest memory temperature in the step.',
        targets: perGpu({ as: 'memory', largest: 'memory_temperature_celsius' }),
      }),
      powerChart({
        id: 303,
        title: 'Power',
        description: 'Mean power draw in the step.',
        size: { w: 24, h: 8 },
        targets: perGpu({ as: 'power', mean: 'power_watts' }),
      }),
    ],
  });
}

/** Reasons that cost speed; an idle GPU or a chosen clock is no trouble and would bury them. */
const THROTTLES: readonly Measure[] = [
  { as: 'software power cap', throttleBit: 2, counter: 'throttle_sw_power_cap_count' },
  { as: 'hardware slowdown', throttleBit: 3, counter: 'throttle_hw_slowdown_count' },
  { as: 'software thermal', throttleBit: 5, counter: 'throttle_sw_thermal_count' },
  { as: 'hardware thermal', throttleBit: 6, counter: 'throttle_hw_thermal_count' },
  { as: 'hardware power brake', throttleBit: 7, counter: 'throttle_hw_power_brake_count' },
];

function clocksRow(): Row {
  return row({
    id: 400,
    title: 'Clocks and throttling',
    panels: [
      clockChart({
        id: 401,
        title: 'SM clock',
        description: 'Mean SM clock in the step.',
        targets: perGpu({ as: 'SM', mean: 'sm_clock_mhz' }),
      }),
      clockChart({
        id: 402,
        title: 'Memory clock',
        description: 'Mean memory clock in the step.',
        targets: perGpu({ as: 'memory', mean: 'memory_clock_mhz' }),
      }),
      throttleTimeline(),
    ],
  });
}

function throttleTimeline(): UnplacedPanel {
  return stateTimelinePanel({
    id: 403,
    title: 'Throttle reasons',
    description:
      'Share of the samples of the step in which a reason was active, over the chosen GPUs. No block: no samples.',
    unit: 'percentunit',
    thresholds: thresholds('green', [0.001, 'yellow'], [0.25, 'orange'], [0.75, 'red']),
    mappings: [],
    targets: [sampleSeries({ measures: THROTTLES, where: onChosenGpus })],
  });
}

function trafficRow(): Row {
  return row({
    id: 500,
    title: 'Traffic',
    panels: [
      trafficChart({
        id: 501,
        title: 'PCIe',
        description: 'Mean traffic that the GPU sent and received over PCIe in the step.',
        targets: perGpu(
          { as: 'sent', mean: 'pcie_tx_bytes_per_second' },
          { as: 'received', mean: 'pcie_rx_bytes_per_second' },
        ),
      }),
      trafficChart({
        id: 502,
        title: 'NVLink',
        description: 'Mean traffic of all NVLink links of the GPU in the step.',
        targets: perGpu({ as: 'NVLink', mean: 'nvlink_bytes_per_second' }),
      }),
    ],
  });
}

function errorsRow(): Row {
  return row({
    id: 600,
    title: 'Errors',
    panels: [
      timeSeriesPanel({
        id: 601,
        title: 'Uncorrectable ECC errors',
        description: 'Counter since the driver was loaded, largest of the minute: a level, not an increase.',
        unit: 'short',
        min: 0,
        look: 'steps',
        targets: [
          timeSeriesTarget(`
            SELECT
              toStartOfInterval(ts, toIntervalSecond(greatest($__interval_s, 60))) AS time,
              ${gpuLabel} AS label,
              toFloat64(max(ecc_uncorrectable_total)) AS uncorrectable
            FROM gpu_samples_1m
            WHERE $__timeFilter(ts) AND gpu_instance = '' AND ${onChosenGpus}
            GROUP BY time, label
            ORDER BY time, label
          `),
        ],
      }),
      halfTable({
        id: 602,
        title: 'Memory health',
        description:
          'ECC counters, remapped rows, PCIe replays and the recovery that the driver asks for, newest sample.',
        targets: [
          tableTarget(`
            SELECT
              gpu_index AS index, gpu_uuid, ecc_correctable_total AS \`correctable ECC\`,
              ecc_uncorrectable_total AS \`uncorrectable ECC\`, row_remap_uncorrectable_total AS \`rows remapped\`,
              multiIf(row_remap_state IS NULL, NULL, bitTest(row_remap_state, 1), 'failed', bitTest(row_remap_state, 0), 'pending', 'none') AS \`row remap\`,
              pcie_replay_total AS \`PCIe replays\`,
              multiIf(recovery_action IS NULL, NULL, recovery_action = 0, 'none', recovery_action = 1, 'reset', recovery_action = 2, 'reboot', recovery_action = 3, 'drain P2P', 'drain and reset') AS recovery
            FROM gpu_latest FINAL
            WHERE ts >= $__fromTime AND gpu_instance = '' AND ${onChosenGpus}
            ORDER BY index
          `),
        ],
      }),
      tablePanel({
        id: 603,
        title: 'Events of this node',
        description: 'Kernel lines and what the agent saw happen, newest first.',
        size: { w: 24, h: 8 },
        targets: [
          tableTarget(`
            SELECT ts AS time, kind, code, gpu_uuid, message
            FROM gpu_events FINAL
            WHERE $__timeFilter(ts) AND node IN (\${node:singlequote})
              AND (gpu_uuid = '' OR $__conditionalAll(gpu_uuid IN (\${gpu:singlequote}), $gpu))
            ORDER BY time DESC
            LIMIT 500
          `),
        ],
      }),
    ],
  });
}

function instancesRow(): Row {
  return row({
    id: 700,
    title: 'MIG instances',
    panels: [
      ratioChart({
        id: 701,
        title: 'Engine active per instance',
        description: 'Share of time in which the engine of the MIG instance was busy. Empty without MIG.',
        targets: perInstance({ as: 'engine active', mean: 'graphics_engine_active_ratio' }),
      }),
      memoryChart({
        id: 702,
        title: 'Framebuffer per instance',
        description: 'Largest use of the device memory of the MIG instance in the step. Empty without MIG.',
        targets: perInstance({ as: 'used', largest: 'memory_used_bytes' }),
      }),
    ],
  });
}
