/** Lists: how they are asked for, and how they are answered as JSON or CSV. */
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { toCsv } from './csv.js';

/** The query of every list; extend it with `.extend({ … })`. */
export const listQuery = z.object({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(100)
    .openapi({ description: 'Rows per page, at most 1000.', example: 100 }),
  cursor: z.string().max(2_000).optional().openapi({ description: '`next_cursor` of the page before.' }),
});

export interface Page<Row> {
  readonly data: readonly Row[];
  readonly next_cursor: string | null;
}

/** One page; `next_cursor` is null on the last. */
export function page<Row>(rows: readonly Row[], nextCursor: string | null): Page<Row> {
  return { data: rows, next_cursor: nextCursor };
}

/**
 * Cuts a page out of rows read with `limit + 1`: the row too many only says that there is more. `cursorOf` makes the
 * cursor from the last row that is shown.
 */
export function pageOf<Row>(rows: readonly Row[], limit: number, cursorOf: (last: Row) => string): Page<Row> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return page(shown, rows.length > limit && last !== undefined ? cursorOf(last) : null);
}

/** The schema of a page, for `responses` of a route. */
export function pageSchema<Row extends z.ZodType>(row: Row) {
  return z.object({ data: z.array(row), next_cursor: z.string().nullable() });
}

/** The 200 response of a list: JSON, or CSV when `Accept` prefers it. */
export function listResponses<Row extends z.ZodType>(row: Row, description = 'One page.') {
  return {
    200: {
      description,
      content: {
        'application/json': { schema: pageSchema(row) },
        'text/csv': { schema: z.string() },
      },
    },
  } as const;
}

/** Answers with a page as the caller's `Accept` asks; a CSV page names the next one in a `Link` header. */
export function answerList(c: Context, answer: Page<object>, columns?: readonly string[]): Response {
  c.header('vary', 'accept');
  if (!prefersCsv(c.req.header('accept') ?? '')) return c.json(answer, 200);
  if (answer.next_cursor !== null) {
    const next = new URL(c.req.url);
    next.searchParams.set('cursor', answer.next_cursor);
    c.header('link', `<${next.pathname}${next.search}>; rel="next"`);
  }
  return c.body(toCsv(answer.data, columns), 200, {
    'content-type': 'text/csv; charset=utf-8; header=present',
  });
}

/** Whether `text/csv` is asked for at least as much as JSON; a plain wildcard means JSON. */
export function prefersCsv(accept: string): boolean {
  const csv = qualityOf(accept, ['text/csv', 'text/*']);
  return csv > 0 && csv >= qualityOf(accept, ['application/json', 'application/*']);
}

function qualityOf(accept: string, ranges: readonly string[]): number {
  const qualities = accept.split(',').map((part) => {
    const [range = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='));
    return ranges.includes(range) ? Number(quality?.slice(2) ?? 1) : 0;
  });
  return Math.max(0, ...qualities.filter((quality) => !Number.isNaN(quality)));
}
