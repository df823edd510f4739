/**
 * The classic JSON of a Grafana dashboard, as far as these boards use it. Grafana reads far more; what is typed here is
 * what the builder writes, so that a reader other than Grafana can draw a board from it.
 */

export const SCHEMA_VERSION = 42;
export const CLICKHOUSE_PLUGIN = 'grafana-clickhouse-datasource';

/** The form of targets since version 4 of the plugin; a target without it is taken for an old one and migrated. */
export const CLICKHOUSE_PLUGIN_VERSION = '4.20.0';

/** Ids of Grafana's value formats that boards may use. */
export const units = [
  'none',
  'short',
  'percentunit',
  'percent',
  'bytes',
  'Bps',
  'watt',
  'joule',
  'kwatth',
  'celsius',
  'rotmhz',
  's',
  'ms',
  'm',
  'h',
  'd',
  'bool',
  'string',
  'dateTimeAsIso',
  'dateTimeFromNow',
  'currencyUSD',
  'currencyEUR',
] as const;

export type Unit = (typeof units)[number];

export interface DataSourceRef {
  readonly type: string;
  readonly uid: string;
}

/** What a target asks for: rows over time, or a plain table. */
export type ResultShape = 'timeseries' | 'table';

export interface Target {
  readonly refId: string;
  readonly datasource: DataSourceRef;
  readonly editorType: 'sql';
  readonly pluginVersion: string;
  readonly queryType: ResultShape;
  /** The plugin's number for the shape: 0 time series, 1 table. */
  readonly format: 0 | 1;
  readonly rawSql: string;
}

export interface GridPos {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export interface ThresholdStep {
  readonly color: string;
  /** The step holds from this value on; null for the first one. */
  readonly value: number | null;
}

export interface ValueMapping {
  readonly type: 'value';
  readonly options: Readonly<Record<string, { text: string; color?: string; index: number }>>;
}

export interface FieldOptions {
  readonly unit?: Unit;
  readonly decimals?: number;
  readonly min?: number;
  readonly max?: number;
  readonly displayName?: string;
  readonly noValue?: string;
  readonly color?: { readonly mode: string; readonly fixedColor?: string };
  readonly thresholds?: {
    readonly mode: 'absolute' | 'percentage';
    readonly steps: readonly ThresholdStep[];
  };
  readonly mappings?: readonly ValueMapping[];
  readonly custom?: Readonly<Record<string, unknown>>;
}

export interface FieldOverride {
  readonly matcher: { readonly id: 'byName'; readonly options: string };
  readonly properties: readonly { readonly id: string; readonly value: unknown }[];
}

export interface FieldConfig {
  readonly defaults: FieldOptions;
  readonly overrides: readonly FieldOverride[];
}

export const panelTypes = ['timeseries', 'stat', 'table', 'bargauge', 'state-timeline'] as const;
export type PanelType = (typeof panelTypes)[number];

export interface DataLink {
  readonly title: string;
  readonly url: string;
}

export interface Panel {
  readonly id: number;
  readonly type: PanelType;
  readonly title: string;
  readonly description: string;
  readonly datasource: DataSourceRef;
  readonly gridPos: GridPos;
  readonly targets: readonly Target[];
  readonly fieldConfig: FieldConfig;
  readonly options: Readonly<Record<string, unknown>>;
  /** Shortest distance of points, such as `10s`: the step of the scrape. */
  readonly interval?: string;
  readonly maxDataPoints?: number;
  readonly links?: readonly DataLink[];
}

export interface RowPanel {
  readonly id: number;
  readonly type: 'row';
  readonly title: string;
  readonly collapsed: boolean;
  readonly gridPos: GridPos;
  /** The panels of a collapsed row; those of an open row stand beside it in the board. */
  readonly panels: readonly Panel[];
}

export interface VariableValue {
  readonly text: string | readonly string[];
  readonly value: string | readonly string[];
  readonly selected?: boolean;
}

interface VariableBase {
  readonly name: string;
  readonly label: string;
  /** 0 shown, 1 without label, 2 hidden. */
  readonly hide: 0 | 1 | 2;
}

export interface DataSourceVariable extends VariableBase {
  readonly type: 'datasource';
  readonly query: string;
  readonly current: VariableValue;
  readonly includeAll: false;
  readonly multi: false;
  readonly refresh: 1;
  readonly regex: string;
  readonly options: readonly [];
}

export interface QueryVariable extends VariableBase {
  readonly type: 'query';
  readonly datasource: DataSourceRef;
  readonly definition: string;
  readonly query: { readonly refId: string; readonly queryType: 'sql'; readonly rawSql: string };
  readonly current: VariableValue;
  readonly includeAll: boolean;
  readonly multi: boolean;
  /** 1 on load, 2 when the time range changes. */
  readonly refresh: 1 | 2;
  readonly sort: 0 | 1;
  readonly regex: string;
  readonly options: readonly [];
}

export type Variable = DataSourceVariable | QueryVariable;

export interface Annotation {
  readonly name: string;
  readonly datasource: DataSourceRef;
  readonly enable: boolean;
  readonly hide: boolean;
  readonly iconColor: string;
  readonly target?: Target;
  readonly builtIn?: 1;
  readonly type?: 'dashboard';
}

export interface DashboardLink {
  readonly type: 'dashboards' | 'link';
  readonly title: string;
  readonly tags: readonly string[];
  readonly url: string;
  readonly tooltip: string;
  readonly icon: string;
  readonly asDropdown: boolean;
  readonly includeVars: boolean;
  readonly keepTime: boolean;
  readonly targetBlank: boolean;
}

export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly schemaVersion: number;
  readonly version: number;
  readonly editable: boolean;
  readonly graphTooltip: 0 | 1 | 2;
  readonly refresh: string;
  readonly time: { readonly from: string; readonly to: string };
  readonly timezone: string;
  readonly timepicker: { readonly refresh_intervals: readonly string[] };
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly Annotation[] };
  readonly links: readonly DashboardLink[];
  readonly panels: readonly (Panel | RowPanel)[];
}

/** Every panel that draws something, those of collapsed rows included. */
export function drawnPanels(board: Board): readonly Panel[] {
  return board.panels.flatMap((panel) => (panel.type === 'row' ? panel.panels : [panel]));
}
