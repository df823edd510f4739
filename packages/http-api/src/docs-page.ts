/** `/docs`: the OpenAPI document as one plain page that needs nothing from elsewhere. */
import { codeMeanings } from './problem.js';

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly { name: string; in: string; required?: boolean; description?: string }[];
  readonly requestBody?: unknown;
  readonly responses?: Readonly<Record<string, unknown>>;
  readonly 'x-access'?: readonly string[];
}

export interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string };
  readonly paths?: Readonly<Record<string, object>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> };
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

const STYLE = `body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
code,pre{font:13px ui-monospace,monospace}pre{background:#f4f5f7;padding:.7rem;overflow:auto}
h3{margin:1.6rem 0 .2rem}h3 b{display:inline-block;min-width:4.2rem}table{border-collapse:collapse}
td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#14171a;color:#e4e7eb}pre{background:#1e2328}a{color:#7ab7ff}}`;

export function docsPage(document: ApiDocument): string {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    METHODS.filter((method) => method in methods).map((method) =>
      operationHtml(method, path, (methods as Record<string, Operation>)[method] ?? {}),
    ),
  );
  const codes = Object.entries(codeMeanings).map(
    ([code, meaning]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${meaning.status}</td><td>${escapeHtml(meaning.title)}</td></tr>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(document.info.title)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(document.info.title)} ${escapeHtml(document.info.version)}</h1>
<p>The machine-readable form is <a href="/openapi.json">/openapi.json</a>. Everything under <code>/v1</code> wants
<code>Authorization: Bearer pm_…</code>. Lists take <code>limit</code> and <code>cursor</code> and answer
<code>text/csv</code> when <code>Accept</code> asks for it; a POST with an <code>Idempotency-Key</code> is done once.</p>
<h2>Operations</h2>${operations.join('')}
<h2>Schemas</h2>${detailsHtml('All schemas', document.components?.schemas ?? {})}
<h2>Error codes</h2><table><tr><th>code</th><th>status</th><th>meaning</th></tr>${codes.join('')}</table></body></html>`;
}

function operationHtml(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(
    (one) =>
      `<tr><td><code>${escapeHtml(one.name)}</code></td><td>${escapeHtml(one.in)}${one.required === true ? ', required' : ''}</td>` +
      `<td>${escapeHtml(one.description ?? '')}</td></tr>`,
  );
  const access = operation['x-access'];
  return `<section><h3><b>${method.toUpperCase()}</b> <code>${escapeHtml(path)}</code></h3>
<p>${escapeHtml(operation.summary ?? operation.description ?? '')}${access === undefined ? '' : ` <small>(${escapeHtml(access.join(', '))})</small>`}</p>
${parameters.length === 0 ? '' : `<table>${parameters.join('')}</table>`}
${operation.requestBody === undefined ? '' : detailsHtml('Body', operation.requestBody)}${detailsHtml('Answers', operation.responses ?? {})}</section>`;
}

function detailsHtml(title: string, value: unknown): string {
  return `<details><summary>${title}</summary><pre>${escapeHtml(JSON.stringify(value, null, 2))}</pre></details>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
