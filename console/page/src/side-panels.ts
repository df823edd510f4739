/** Beside the board: what needs somebody, what was billed last, what the autoscaler said last. */
import { getJson, isAbort, SignedOutError } from './api.js';
import { element } from './element.js';
import { formatAge, formatTime } from './format-value.js';

interface List<Row> {
  readonly data: readonly Row[];
  readonly next_cursor: string | null;
}

interface Incident {
  readonly id: string;
  readonly code: string;
  readonly title: string;
  readonly severity: string;
  readonly status: string;
  readonly node: string;
  readonly gpu_uuids: readonly string[];
  readonly opened_at: string;
  readonly demo?: boolean;
}

interface Invoice {
  readonly id: string;
  readonly number: string | null;
  readonly status: string;
  readonly customer_id: string;
  readonly period: { readonly start: string; readonly end: string };
  readonly total: { readonly amount: string; readonly currency: string };
}

interface Decision {
  readonly id: string;
  readonly pool: string;
  readonly decided_at: string;
  readonly mode: string;
  readonly action: string;
  readonly status: string;
  readonly reasons: readonly { readonly text: string }[];
}

const UNRESOLVED = ['open', 'acknowledged', 'verifying'] as const;
const SHOWN_INCIDENTS = 8;

export interface SidePanels {
  /** Rejects only when nobody is signed in; other faults are shown where they belong. */
  refresh(signal: AbortSignal): Promise<void>;
}

export function createSidePanels(host: HTMLElement): SidePanels {
  const incidents = card(host, 'Open incidents');
  const invoice = card(host, 'Latest invoice');
  const decision = card(host, 'Last scaling decision');
  return {
    async refresh(signal) {
      await Promise.all([
        fill(incidents, signal, async () => {
          const lists = await Promise.all(
            UNRESOLVED.map((status) =>
              getJson<List<Incident>>(`/v1/incidents?status=${status}&limit=${SHOWN_INCIDENTS}`, signal),
            ),
          );
          return incidentList(lists);
        }),
        fill(invoice, signal, async () =>
          invoiceCard(await getJson<List<Invoice>>('/v1/invoices?limit=1', signal)),
        ),
        fill(decision, signal, async () =>
          decisionCard(await getJson<List<Decision>>('/v1/decisions?limit=1', signal)),
        ),
      ]);
    },
  };
}

interface Card {
  readonly body: HTMLElement;
  readonly status: HTMLElement;
}

function card(host: HTMLElement, title: string): Card {
  const body = element('div', {});
  const status = element('p', { class: 'status', role: 'status' }, 'Loading …');
  host.append(
    element('section', { class: 'card', 'aria-label': title }, element('h2', {}, title), status, body),
  );
  return { body, status };
}

async function fill(
  { body, status }: Card,
  signal: AbortSignal,
  read: () => Promise<HTMLElement>,
): Promise<void> {
  try {
    const content = await read();
    body.replaceChildren(content);
    status.textContent = '';
  } catch (fault) {
    if (fault instanceof SignedOutError || isAbort(fault) || signal.aborted) throw fault;
    status.textContent = `Not read: ${fault instanceof Error ? fault.message : String(fault)}`;
  }
}

function incidentList(lists: readonly List<Incident>[]): HTMLElement {
  const rows = lists
    .flatMap((list) => list.data)
    .sort((a, b) => Date.parse(b.opened_at) - Date.parse(a.opened_at));
  if (rows.length === 0) return element('p', { class: 'quiet' }, 'None: nothing is known to be wrong.');
  const hasMore = rows.length > SHOWN_INCIDENTS || lists.some((list) => list.next_cursor !== null);
  const items = rows
    .slice(0, SHOWN_INCIDENTS)
    .map((row) =>
      element(
        'li',
        { class: `severity-${row.severity}` },
        element('b', {}, row.title),
        demoTag(row.demo === true),
        element(
          'p',
          { class: 'quiet', title: formatTime(Date.parse(row.opened_at)) },
          `${row.severity} · ${row.status} · ${row.node} · ${countOf(row.gpu_uuids.length, 'GPU')} · ${formatAge(Date.now() - Date.parse(row.opened_at))}`,
        ),
      ),
    );
  return element(
    'div',
    {},
    element('ul', { class: 'incidents' }, ...items),
    element('p', { class: 'quiet' }, hasMore ? 'More: poolmeter incidents list' : ''),
  );
}

function invoiceCard({ data: [invoice] }: List<Invoice>): HTMLElement {
  if (invoice === undefined) return element('p', { class: 'quiet' }, 'No invoice yet.');
  const { amount, currency } = invoice.total;
  return element(
    'div',
    {},
    element('p', { class: 'figure' }, `${amount} ${currency}`),
    element(
      'p',
      { class: 'quiet' },
      `${invoice.number ?? invoice.id} · ${invoice.customer_id} · ${invoice.status} · ${invoice.period.start.slice(0, 10)} to ${invoice.period.end.slice(0, 10)}`,
    ),
  );
}

function decisionCard({ data: [decision] }: List<Decision>): HTMLElement {
  if (decision === undefined) return element('p', { class: 'quiet' }, 'No decision yet.');
  const at = Date.parse(decision.decided_at);
  return element(
    'div',
    {},
    element('p', { class: 'figure small' }, `${decision.action.replaceAll('_', ' ')} in ${decision.pool}`),
    element(
      'ul',
      { class: 'reasons' },
      ...decision.reasons.slice(0, 4).map(({ text }) => element('li', {}, text)),
    ),
    element(
      'p',
      { class: 'quiet', title: formatTime(at) },
      `${decision.mode} · ${decision.status.replaceAll('_', ' ')} · ${formatAge(Date.now() - at)}`,
    ),
  );
}

function demoTag(demo: boolean): HTMLElement | string {
  return demo ? element('span', { class: 'tag' }, 'demo') : '';
}

function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
