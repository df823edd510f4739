/** Marks on the time axis of the boards. */
import { annotation, timeSeriesTarget, type Annotation } from 'grafana-dashboard-builder';

/** When incidents began and ended, for the chosen pools and nodes. */
export function incidentAnnotation(where: string): Annotation {
  return annotation({
    name: 'Incidents',
    iconColor: 'red',
    target: timeSeriesTarget(`
      SELECT opened_at AS time, ifNull(cleared_at, now64(3)) AS timeEnd, concat(code, ' ', title) AS text, severity AS tags
      FROM incidents FINAL
      WHERE opened_at <= $__toTime AND (cleared_at IS NULL OR cleared_at >= $__fromTime) AND ${where}
      ORDER BY time
      LIMIT 500
    `),
  });
}

/** What the autoscaler decided, where it decided to do something. */
export function decisionAnnotation(where: string): Annotation {
  return annotation({
    name: 'Scaling decisions',
    iconColor: 'blue',
    target: timeSeriesTarget(`
      SELECT decided_at AS time, concat(pool, ': ', action) AS text, mode AS tags
      FROM scaling_decisions FINAL
      WHERE $__timeFilter(decided_at) AND action NOT IN ('none', 'hold') AND ${where}
      ORDER BY time
      LIMIT 500
    `),
  });
}
