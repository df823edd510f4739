/** Opaque places in a list. A cursor carries the sort key of the last row, and fits only the list that gave it. */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { inputFault } from './problem.js';

const CHECK_LENGTH = 11;

/** A cursor for the row after `position`. `list` names the list, with its order when there are several. */
export function encodeCursor(list: string, position: unknown): string {
  const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
  return checkOf(list, payload) + payload;
}

/**
 * The position inside a cursor, checked against its schema. Anything that this list did not give (another list's
 * cursor, a shortened or edited one) is wrong input. The check catches accidents; rights never depend on a cursor,
 * because every query restricts its rows by the caller.
 */
export function decodeCursor<S extends z.ZodType>(list: string, cursor: string, schema: S): z.output<S> {
  const payload = cursor.slice(CHECK_LENGTH);
  if (cursor.slice(0, CHECK_LENGTH) !== checkOf(list, payload)) throw wrongCursor();
  const position = schema.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
  if (!position.success) throw wrongCursor();
  return position.data;
}

function checkOf(list: string, payload: string): string {
  return createHash('sha256').update(`${list}\n${payload}`).digest('base64url').slice(0, CHECK_LENGTH);
}

function wrongCursor() {
  return inputFault([
    { path: 'query.cursor', message: 'is not a cursor of this list: use next_cursor as it was given' },
  ]);
}
