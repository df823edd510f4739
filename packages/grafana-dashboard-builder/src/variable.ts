/** Template variables. Every one states its current value: the plugin's macros fail on a variable that has none. */
import {
  CLICKHOUSE_PLUGIN,
  type DataSourceVariable,
  type QueryVariable,
  type VariableValue,
} from './board-json.js';
import { chosenDataSource, withoutIndent } from './target.js';

export const ALL_VALUE = '$__all';

const ALL_CHOSEN: VariableValue = { selected: true, text: ['All'], value: [ALL_VALUE] };

/** The choice of a ClickHouse data source; panels refer to it as `${datasource}`. */
export function dataSourceVariable(current: { name: string; uid: string }): DataSourceVariable {
  return {
    name: 'datasource',
    label: 'Data source',
    type: 'datasource',
    query: CLICKHOUSE_PLUGIN,
    current: { selected: true, text: current.name, value: current.uid },
    hide: 0,
    includeAll: false,
    multi: false,
    refresh: 1,
    regex: '',
    options: [],
  };
}

export interface ChoiceOptions {
  readonly name: string;
  readonly label: string;
  /** One column (value and text alike) or two (value, text). */
  readonly sql: string;
}

/** Several values or all of them, asked anew when the time range changes. */
export function multiChoice({ name, label, sql }: ChoiceOptions): QueryVariable {
  return { ...queryVariable({ name, label, sql }), current: ALL_CHOSEN, includeAll: true, multi: true };
}

/** One value; the first of the list until the reader chooses. */
export function singleChoice({ name, label, sql }: ChoiceOptions): QueryVariable {
  return queryVariable({ name, label, sql });
}

/** A value that the board computes for its own queries, such as the table that suits the time range. */
export function computedValue(
  options: Omit<ChoiceOptions, 'label'> & { readonly current: string },
): QueryVariable {
  const { name, sql, current } = options;
  return {
    ...queryVariable({ name, label: name, sql }),
    hide: 2,
    sort: 0,
    current: { selected: true, text: current, value: current },
  };
}

function queryVariable({ name, label, sql }: ChoiceOptions): QueryVariable {
  const rawSql = withoutIndent(sql);
  return {
    name,
    label,
    type: 'query',
    datasource: chosenDataSource,
    definition: rawSql,
    query: { refId: name, queryType: 'sql', rawSql },
    current: { selected: true, text: '', value: '' },
    hide: 0,
    includeAll: false,
    multi: false,
    refresh: 2,
    sort: 1,
    regex: '',
    options: [],
  };
}
