/** A named query: its SQL, what it takes and what a row is, on one screen. */
import type { z } from 'zod';

export interface QueryDefinition<P extends z.ZodType = z.ZodType, R extends z.ZodObject = z.ZodObject> {
  /** kebab-case; becomes the query's `log_comment`, so that its cost can be found in a query log. */
  readonly name: string;
  /** SQL with server-side parameters such as `{from_ms:Int64}` and nothing pasted in. */
  readonly sql: string;
  readonly params: P;
  readonly row: R;
}

export type QueryParams<Q extends QueryDefinition> = z.input<Q['params']>;
export type QueryRow<Q extends QueryDefinition> = z.output<Q['row']>;

/** Keeps the exact types of the parameters and of the row. */
export function defineQuery<P extends z.ZodType, R extends z.ZodObject>(
  definition: QueryDefinition<P, R>,
): QueryDefinition<P, R> {
  return definition;
}
