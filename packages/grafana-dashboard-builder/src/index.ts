export {
  CLICKHOUSE_PLUGIN,
  CLICKHOUSE_PLUGIN_VERSION,
  drawnPanels,
  SCHEMA_VERSION,
  units,
  type Annotation,
  type Board,
  type DashboardLink,
  type DataLink,
  type DataSourceRef,
  type DataSourceVariable,
  type FieldConfig,
  type FieldOptions,
  type FieldOverride,
  type GridPos,
  type Panel,
  type PanelType,
  type QueryVariable,
  type ResultShape,
  type RowPanel,
  type Target,
  type ThresholdStep,
  type Unit,
  type ValueMapping,
  type Variable,
  type VariableValue,
} from './board-json.js';
export { annotation, board, boardsLink, GRID_COLUMNS, row, type BoardOptions, type Row } from './board.js';
export { expandMacros, MacroError, type ExpandOptions, type VariableValues } from './expand-macros.js';
export { column, thresholds, valueMapping, type ColumnOptions, type MappedValue } from './field.js';
export { lintAlertSql, lintDashboard, type Finding } from './lint-board.js';
export {
  barGaugePanel,
  statPanel,
  stateTimelinePanel,
  tablePanel,
  timeSeriesPanel,
  type PanelOptions,
  type TimeSeriesOptions,
  type UnplacedPanel,
} from './panel.js';
export { chosenDataSource, tableTarget, timeSeriesTarget } from './target.js';
export {
  ALL_VALUE,
  computedValue,
  dataSourceVariable,
  multiChoice,
  singleChoice,
  type ChoiceOptions,
} from './variable.js';
