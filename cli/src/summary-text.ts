import { cellText, columnsOf, tableText, type Column, type Row } from './printer.js';
import type { GpuRow, Summary } from './summary.js';

/** The summary as lines; lists are cut to `rows` lines each when given. */
export function summaryLines(
  summary: Summary,
  { bordered, rows }: { bordered: boolean; rows?: number },
): string[] {
  return [
    ...headLines(summary),
    ...section('Incidents', summary.incidents, {
      columns: incidentColumns,
      bordered,
      rows: rows ?? summary.incidents.length,
    }),
  ];
}

/** The GPUs that draw most power first: what a person wants to look at. */
export function busiestGpus(
  summary: Summary,
  { bordered, rows }: { bordered: boolean; rows: number },
): string[] {
  const power = (gpu: GpuRow) => Number(gpu.latest?.['power_watts'] ?? -1);
  const sorted = [...summary.gpus].sort((a, b) => power(b) - power(a));
  return section('GPUs by power', sorted, { columns: gpuColumns, bordered, rows });
}

function headLines(summary: Summary): string[] {
  const { gpus, gpusByState, incidents, latestInvoice: invoice, lastDecision: decision, hidden } = summary;
  const states = Object.entries(gpusByState).map(([state, count]) => `${count} ${state}`);
  const shown = (what: string, text: string) => (hidden.includes(what) ? 'not visible to this token' : text);
  return [
    `GPUs       ${shown('GPUs', `${gpus.length}${states.length === 0 ? '' : ` (${states.join(', ')})`}`)}`,
    `Freshness  ${shown('GPUs', freshness(summary))}`,
    `Incidents  ${shown('incidents', `${incidents.length} unresolved`)}`,
    `Invoice    ${shown('invoices', invoice === null ? 'none yet' : invoiceText(invoice))}`,
    `Decision   ${shown('decisions', decision === null ? 'none yet' : decisionText(decision))}`,
  ];
}

function freshness({ newestSampleAt, sampleAgeMs }: Summary): string {
  if (newestSampleAt === null || sampleAgeMs === null) return 'no sample yet';
  return `newest sample ${newestSampleAt}, ${(sampleAgeMs / 1_000).toFixed(1)} s old`;
}

function invoiceText(invoice: Row): string {
  const name = cellText(invoice['number'] ?? invoice['id']);
  const period = (invoice['period'] as Row)['month'];
  return `${name} (${cellText(invoice['status'])}) for ${cellText(invoice['customer_id'])}, ${cellText(period)}: ${cellText(invoice['total'])}`;
}

function decisionText(decision: Row): string {
  const { decided_at: at, pool, action, status, targets } = decision;
  return `${cellText(at)} ${cellText(pool)}: ${cellText(action)} ${cellText(targets)} (${cellText(status)})`;
}

const incidentColumns = columnsOf('id', 'code', 'severity', 'status', 'node', 'gpu_uuids', 'opened_at');

const reading = (head: string, digits: number): Column => ({
  head,
  value: (row) => {
    const value = (row as GpuRow).latest?.[head];
    return typeof value === 'number' ? value.toFixed(digits) : null;
  },
});

const gpuColumns: readonly Column[] = [
  ...columnsOf('node', 'gpu_index', 'gpu_uuid', 'state'),
  { head: 'customer_id', value: (row) => (row as GpuRow).lease?.['customer_id'] },
  reading('gpu_util_ratio', 2),
  reading('sm_active_ratio', 2),
  reading('power_watts', 0),
  reading('temperature_celsius', 0),
];

function section(
  title: string,
  rows: readonly Row[],
  options: { columns: readonly Column[]; bordered: boolean; rows: number },
): string[] {
  if (rows.length === 0) return [];
  const shown = rows.slice(0, Math.max(0, options.rows));
  const left = rows.length - shown.length;
  return [
    '',
    title,
    ...tableText(shown, options.columns, options.bordered).split('\n'),
    ...(left > 0 ? [`… and ${left} more`] : []),
  ];
}
