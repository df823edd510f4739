/** One factory per kind of panel. A panel says where it wants to go only by its size; rows lay it out. */
import type {
  DataLink,
  FieldConfig,
  FieldOptions,
  FieldOverride,
  Panel,
  PanelType,
  Target,
  ThresholdStep,
  Unit,
  ValueMapping,
} from './board-json.js';
import { chosenDataSource } from './target.js';

/** A panel before it has a place on the board. */
export type UnplacedPanel = Omit<Panel, 'gridPos'> & {
  readonly size: { readonly w: number; readonly h: number };
};

export interface PanelOptions {
  /** Stays the same for ever: links and alert rules name it. */
  readonly id: number;
  readonly title: string;
  readonly description: string;
  readonly targets: readonly Target[];
  /** Width in columns of 24, height in grid steps. */
  readonly size?: { readonly w: number; readonly h: number };
  readonly unit?: Unit;
  readonly decimals?: number;
  readonly min?: number;
  readonly max?: number;
  readonly noValue?: string;
  readonly thresholds?: readonly ThresholdStep[];
  readonly mappings?: readonly ValueMapping[];
  readonly overrides?: readonly FieldOverride[];
  readonly links?: readonly DataLink[];
  readonly interval?: string;
}

interface Look {
  readonly type: PanelType;
  readonly size: { readonly w: number; readonly h: number };
  readonly options: Readonly<Record<string, unknown>>;
  readonly custom?: Readonly<Record<string, unknown>>;
  readonly color?: FieldOptions['color'];
}

export interface TimeSeriesOptions extends PanelOptions {
  readonly look?: 'line' | 'area' | 'stacked' | 'bars' | 'steps';
}

/** Lines over time. A gap stays a gap: points are joined only over less than the connect distance. */
export function timeSeriesPanel({ look = 'line', ...options }: TimeSeriesOptions): UnplacedPanel {
  return panel(options, {
    type: 'timeseries',
    size: { w: 12, h: 8 },
    color: { mode: 'palette-classic' },
    custom: {
      drawStyle: look === 'bars' ? 'bars' : 'line',
      lineInterpolation: look === 'steps' ? 'stepAfter' : 'linear',
      lineWidth: 1,
      fillOpacity: look === 'line' || look === 'steps' ? 0 : 30,
      showPoints: 'auto',
      spanNulls: false,
      stacking: { mode: look === 'stacked' || look === 'bars' ? 'normal' : 'none', group: 'A' },
      thresholdsStyle: { mode: options.thresholds === undefined ? 'off' : 'dashed' },
    },
    options: {
      legend: { showLegend: true, displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  });
}

/** One large number per field. */
export function statPanel(options: PanelOptions): UnplacedPanel {
  return panel(options, {
    type: 'stat',
    size: { w: 4, h: 4 },
    color: {
      mode: options.thresholds === undefined && options.mappings === undefined ? 'fixed' : 'thresholds',
    },
    options: {
      colorMode: 'value',
      graphMode: 'none',
      justifyMode: 'auto',
      orientation: 'auto',
      textMode: 'auto',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
  });
}

/** Bars for the rows of a table, the first text column as label. */
export function barGaugePanel(options: PanelOptions): UnplacedPanel {
  return panel(options, {
    type: 'bargauge',
    size: { w: 12, h: 8 },
    color: { mode: 'palette-classic' },
    options: {
      displayMode: 'basic',
      orientation: 'horizontal',
      showUnfilled: true,
      valueMode: 'color',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: true },
    },
  });
}

/** Rows as they come, sortable and filterable. */
export function tablePanel(options: PanelOptions): UnplacedPanel {
  return panel(options, {
    type: 'table',
    size: { w: 24, h: 10 },
    color: { mode: 'thresholds' },
    custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: true, inspect: false },
    options: { cellHeight: 'sm', showHeader: true, footer: { show: false, reducer: ['sum'], fields: '' } },
  });
}

/** States over time, one line per series. */
export function stateTimelinePanel(options: PanelOptions): UnplacedPanel {
  return panel(options, {
    type: 'state-timeline',
    size: { w: 24, h: 8 },
    color: { mode: options.mappings === undefined ? 'palette-classic' : 'thresholds' },
    custom: { fillOpacity: 80, lineWidth: 0, spanNulls: false },
    options: {
      alignValue: 'left',
      mergeValues: true,
      rowHeight: 0.85,
      showValue: 'never',
      legend: { showLegend: true, displayMode: 'list', placement: 'bottom' },
      tooltip: { mode: 'single', sort: 'none' },
    },
  });
}

function panel(options: PanelOptions, look: Look): UnplacedPanel {
  return {
    id: options.id,
    type: look.type,
    title: options.title,
    description: options.description,
    datasource: chosenDataSource,
    size: options.size ?? look.size,
    targets: options.targets,
    fieldConfig: fieldConfig(options, look),
    options: look.options,
    ...(options.interval === undefined ? {} : { interval: options.interval }),
    ...(look.type === 'timeseries' || look.type === 'state-timeline' ? { maxDataPoints: 1000 } : {}),
    ...(options.links === undefined ? {} : { links: options.links }),
  };
}

function fieldConfig(options: PanelOptions, look: Look): FieldConfig {
  const { unit, decimals, min, max, noValue = 'no data', mappings, thresholds } = options;
  const defined = Object.entries({ unit, decimals, min, max, mappings }).filter(
    ([, value]) => value !== undefined,
  );
  const steps = thresholds ?? [{ color: 'text', value: null }];
  return {
    defaults: {
      ...Object.fromEntries(defined),
      noValue,
      thresholds: { mode: 'absolute', steps },
      ...(look.color === undefined ? {} : { color: fixedWhereAsked(look.color) }),
      ...(look.custom === undefined ? {} : { custom: look.custom }),
    },
    overrides: options.overrides ?? [],
  };
}

function fixedWhereAsked(color: NonNullable<FieldOptions['color']>): NonNullable<FieldOptions['color']> {
  return color.mode === 'fixed' ? { mode: 'fixed', fixedColor: 'text' } : color;
}
