/** How poolmeter signs its requests to a webhook, and how the one who receives them checks that. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface SignedRequest {
  readonly method: string;
  /** Path and query, as in the request line. */
  readonly path: string;
  /** Empty when there is none. */
  readonly body: string;
  /** Also signed: who could change it could make one action two. Empty when there is none. */
  readonly idempotencyKey: string;
  /** Seconds since 1970, as in the header. */
  readonly timestamp: string;
}

/** `v1=` and the HMAC-SHA256, in hex, of timestamp, method, path, key and body, each on a line of its own. */
export function webhookSignature(secret: string, request: SignedRequest): string {
  const { timestamp, method, path, idempotencyKey, body } = request;
  const signed = [timestamp, method, path, idempotencyKey, body].join('\n');
  return `v1=${createHmac('sha256', secret).update(signed).digest('hex')}`;
}

/** Whether the signature is ours and not older than `withinS` seconds: a copy of an old request is refused. */
export function isWebhookSignatureGood(
  request: SignedRequest,
  given: {
    readonly secret: string;
    readonly signature: string;
    readonly nowMs: number;
    readonly withinS?: number;
  },
): boolean {
  const ageS = given.nowMs / 1_000 - Number(request.timestamp);
  if (!/^\d+$/.test(request.timestamp) || Math.abs(ageS) > (given.withinS ?? 300)) return false;
  const expected = Buffer.from(webhookSignature(given.secret, request));
  const offered = Buffer.from(given.signature);
  return expected.length === offered.length && timingSafeEqual(expected, offered);
}
