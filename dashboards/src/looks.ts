/** How these boards draw: a look per kind of value, so that the same thing looks the same on every board. */
import {
  board,
  boardsLink,
  column,
  tablePanel,
  thresholds,
  timeSeriesPanel,
  valueMapping,
  type Board,
  type BoardOptions,
  type FieldOverride,
  type PanelOptions,
  type UnplacedPanel,
} from 'grafana-dashboard-builder';

export const TAG = 'poolmeter';

type Plain = Omit<PanelOptions, 'unit'>;

export const ratioChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'percentunit', min: 0, max: 1 });

export const temperatureChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({
    ...options,
    unit: 'celsius',
    thresholds: thresholds('green', [85, 'orange'], [92, 'red']),
  });

export const powerChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'watt', min: 0 });

export const memoryChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'bytes', min: 0 });

export const clockChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'rotmhz', min: 0 });

export const trafficChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'Bps', min: 0 });

export const countChart = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'short', min: 0, look: 'steps' });

export const countBars = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'short', min: 0, look: 'bars' });

export const hoursBars = (options: Plain): UnplacedPanel =>
  timeSeriesPanel({ ...options, unit: 'h', min: 0, decimals: 2, look: 'bars' });

/** A table that is not meant to fill the page. */
export const halfTable = (options: PanelOptions): UnplacedPanel =>
  tablePanel({ size: { w: 12, h: 8 }, ...options });

/** Age of the newest data: more than a minute is worth a look, more than five mean that something is down. */
export const ageThresholds = thresholds('green', [60, 'orange'], [300, 'red']);

export const ratioColumn = (name: string): FieldOverride =>
  column(name, { unit: 'percentunit', min: 0, max: 1, decimals: 0, cell: 'gauge' });

export const severityColumn = column('severity', {
  cell: 'color-text',
  mappings: [
    valueMapping({
      critical: { text: 'critical', color: 'red' },
      warning: { text: 'warning', color: 'orange' },
      info: { text: 'info', color: 'blue' },
    }),
  ],
});

/** A link from a GPU's row to its own board. */
export const gpuColumn = column('gpu_uuid', {
  displayName: 'GPU',
  link: {
    title: 'This GPU',
    url: '/d/poolmeter-gpu?${__url_time_range}&var-node=${__data.fields.node}&var-gpu=${__data.fields.gpu_uuid}',
  },
});

/** A board with what all of them share. */
export function poolmeterBoard(options: Omit<BoardOptions, 'tags' | 'links' | 'refresh'>): Board {
  return board({ ...options, tags: [TAG, 'gpu'], links: [boardsLink('Boards', TAG)], refresh: '30s' });
}
