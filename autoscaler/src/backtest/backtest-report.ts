/** A backtest as a page that needs nothing else: a table, cost against wait, and the pool's size over time. */
import type { BacktestResult } from './run-backtest.js';

export interface BacktestReport {
  readonly trace: Readonly<Record<string, string | number>>;
  readonly policies: readonly BacktestResult[];
}

const COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b', '#17becf', '#7f7f7f'];

export function backtestHtml(report: BacktestReport): string {
  const facts = Object.entries(report.trace).map(
    ([name, value]) => `${escaped(name)}: ${escaped(String(value))}`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest</title>
<style>body{font:14px system-ui;margin:2rem;max-width:70rem}td,th{padding:.2rem .7rem;text-align:right}
td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f3f3f3}svg{background:#fff;border:1px solid #ccc}</style>
</head><body><h1>Backtest</h1><p>${facts.join(' · ')}</p>
${table(report.policies)}
<h2>Cost and wait</h2>${costAgainstWaitSvg(report.policies)}
<h2>GPUs provisioned (colour) and used (grey)</h2>
${report.policies
  .filter((each) => each.series.length > 0)
  .map(seriesSvg)
  .join('\n')}
</body></html>
`;
}

function table(policies: readonly BacktestResult[]): string {
  const heads = ['policy', 'cost', 'provisioned GPU-h', 'idle GPU-h', 'wait p50 s', 'p95 s', 'p99 s'];
  const more = ['over objective', 'added', 'removed', 'regret'];
  const rows = policies.map((one) =>
    [
      one.name,
      `${one.cost.amount} ${one.cost.currency}`,
      one.gpu_hours.provisioned,
      one.gpu_hours.idle,
      waitText(one.wait_s.p50),
      waitText(one.wait_s.p95),
      waitText(one.wait_s.p99),
      `${(one.over_objective_share * 100).toFixed(2)} %`,
      one.nodes_added,
      one.nodes_removed,
      `${(one.regret * 100).toFixed(1)} %`,
    ]
      .map((cell) => `<td>${escaped(String(cell))}</td>`)
      .join(''),
  );
  const head = [...heads, ...more].map((name) => `<th>${name}</th>`).join('');
  return `<table><tr>${head}</tr>${rows.map((row) => `<tr>${row}</tr>`).join('\n')}</table>`;
}

export function waitText(seconds: number | null): string {
  return seconds === null ? 'never' : seconds.toFixed(0);
}

/** Cost to the right, 95th percentile of the wait upwards; both from nothing. */
export function costAgainstWaitSvg(policies: readonly BacktestResult[]): string {
  const [width, height, edge] = [900, 320, 50];
  const shown = policies.filter((one) => one.wait_s.p95 !== null && one.regret < 1);
  const most = Math.max(1, ...shown.map((one) => Math.min(600, one.wait_s.p95 ?? 0)));
  const regretMost = Math.max(0.05, ...shown.map((one) => one.regret));
  const dots = shown.map((one, index) => {
    const x = edge + (one.regret / regretMost) * (width - 2 * edge);
    const y = height - edge - (Math.min(most, one.wait_s.p95 ?? 0) / most) * (height - 2 * edge);
    const ours = one.name.startsWith('poolmeter');
    const colour = ours ? '#d62728' : (COLOURS[index % COLOURS.length] ?? '#000');
    const label =
      policies.length <= 12
        ? `<text x="${(x + 8).toFixed(1)}" y="${(y - 4).toFixed(1)}">${escaped(one.name)}</text>`
        : '';
    return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${ours ? 6 : 4}" fill="${colour}"><title>${escaped(one.name)}</title></circle>${label}`;
  });
  const axes =
    `<text x="${edge}" y="${height - 12}">cost of perfect foresight</text>` +
    `<text x="${width - 170}" y="${height - 12}">+${(regretMost * 100).toFixed(0)} %</text>` +
    `<text x="4" y="${edge - 20}">p95 wait, ${most.toFixed(0)} s at the top</text>` +
    `<path d="M${edge} ${edge}V${height - edge}H${width - edge}" fill="none" stroke="#999"/>`;
  return svg(width, height, axes + dots.join(''));
}

function seriesSvg(one: BacktestResult): string {
  const [width, height] = [900, 140];
  const lastS = Math.max(1, one.series[one.series.length - 1]?.atS ?? 1);
  const most = Math.max(1, ...one.series.map((point) => point.provisioned));
  const line = (value: (point: BacktestResult['series'][number]) => number) =>
    one.series
      .map(
        (point) =>
          `${((point.atS / lastS) * width).toFixed(1)},${(height - (value(point) / most) * (height - 20)).toFixed(1)}`,
      )
      .join(' ');
  const paths =
    `<polyline points="${line((point) => point.provisioned)}" fill="none" stroke="#1f77b4"/>` +
    `<polyline points="${line((point) => point.used)}" fill="none" stroke="#888"/>`;
  return `<h3>${escaped(one.name)} (at most ${most} GPUs)</h3>${svg(width, height, paths)}`;
}

function svg(width: number, height: number, inside: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui" font-size="12">${inside}</svg>`;
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
