/** A named query: its SQL, what it takes, what a row is and what it may cost, on one screen. */
import type { z } from 'zod';
import { boundsOf, type QueryBounds, type StatedBounds } from './query-bounds.js';

interface QueryText<P extends z.ZodType, R extends z.ZodObject> {
  /** kebab-case; becomes the query's `log_comment`, so that its cost can be found in a query log. */
  readonly name: string;
  /** SQL with server-side parameters such as `{from_ms:Int64}` and nothing pasted in. */
  readonly sql: string;
  readonly params: P;
  readonly row: R;
}

export interface QueryDefinition<
  P extends z.ZodType = z.ZodType,
  R extends z.ZodObject = z.ZodObject,
> extends QueryText<P, R> {
  /** The store sends them with every run, and refuses a longer range before it asks. */
  readonly bounds: QueryBounds;
}

export type QueryParams<Q extends QueryDefinition> = z.input<Q['params']>;
export type QueryRow<Q extends QueryDefinition> = z.output<Q['row']>;

/**
 * Keeps the exact types of the parameters and of the row, and adds the bounds: those of the tables that the SQL reads,
 * unless `bounds` says otherwise. A range is recognised by its parameters (`from_ms` and `to_ms`, or `since_ms` and
 * `until_ms`).
 */
export function defineQuery<P extends z.ZodType, R extends z.ZodObject>(
  definition: QueryText<P, R> & { readonly bounds?: StatedBounds },
): QueryDefinition<P, R> {
  return { ...definition, bounds: boundsOf(definition.sql, definition.bounds) };
}
