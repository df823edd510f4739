/** Updates that do not overwrite what somebody else changed: `ETag` on reads, `If-Match` on writes. */
import { digestOf, PoolmeterError } from '@poolmeter/domain';
import type { Context } from 'hono';

/** The strong entity tag of a value, in quotes. The same value has the same tag, whichever process computes it. */
export function etagOf(value: unknown): string {
  return `"${digestOf(value).slice(0, 22)}"`;
}

/** Sets the `ETag` of the answer, and says whether the caller has this version already (then answer 304). */
export function setEtag(c: Context, etag: string): { readonly notModified: boolean } {
  c.header('etag', etag);
  return { notModified: namesTag(c.req.header('if-none-match'), etag) };
}

/** Throws unless `If-Match` names the current version (or `*`). A missing header is refused too: 428. */
export function requireIfMatch(c: Context, currentEtag: string): void {
  const given = c.req.header('if-match');
  if (given === undefined) {
    throw new PoolmeterError(
      'precondition_required',
      'Send If-Match with the ETag of the version that you read, so that no change of somebody else is lost.',
    );
  }
  if (namesTag(given, currentEtag)) return;
  throw new PoolmeterError(
    'precondition_failed',
    'This was changed after you read it: read it again, then repeat the change.',
    {
      details: { current_etag: currentEtag },
    },
  );
}

function namesTag(header: string | undefined, etag: string): boolean {
  const tags = (header ?? '').split(',').map((tag) => tag.trim());
  return tags.includes('*') || tags.includes(etag);
}
