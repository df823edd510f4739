/** What a panel asks ClickHouse. */
import {
  CLICKHOUSE_PLUGIN,
  CLICKHOUSE_PLUGIN_VERSION,
  type DataSourceRef,
  type ResultShape,
  type Target,
} from './board-json.js';

/** The data source that the reader chose in the variable `datasource`. */
export const chosenDataSource: DataSourceRef = { type: CLICKHOUSE_PLUGIN, uid: '${datasource}' };

/** A query over time: first column a time, then labels (text), then numbers. */
export function timeSeriesTarget(sql: string, refId = 'A'): Target {
  return target({ sql, refId, shape: 'timeseries' });
}

/** A query whose rows are shown as they come. */
export function tableTarget(sql: string, refId = 'A'): Target {
  return target({ sql, refId, shape: 'table' });
}

function target({ sql, refId, shape }: { sql: string; refId: string; shape: ResultShape }): Target {
  return {
    refId,
    datasource: chosenDataSource,
    editorType: 'sql',
    pluginVersion: CLICKHOUSE_PLUGIN_VERSION,
    queryType: shape,
    format: shape === 'timeseries' ? 0 : 1,
    rawSql: withoutIndent(sql),
  };
}

/** Drops the indentation that a template literal has from its place in the source, and blank edges. */
export function withoutIndent(sql: string): string {
  const lines = sql
    .replace(/^\s*\n/, '')
    .trimEnd()
    .split('\n');
  const indents = lines
    .filter((line) => line.trim() !== '')
    .map((line) => line.length - line.trimStart().length);
  const indent = Math.min(...indents);
  return lines.map((line) => line.slice(indent)).join('\n');
}
