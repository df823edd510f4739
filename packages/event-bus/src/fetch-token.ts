/** Access tokens by OAuth 2 client credentials: fetched when needed, kept while they are good, renewed in time. */
import { messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import { z } from 'zod';

export interface TokenClient {
  /** The token endpoint, http(s). */
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope?: string;
}

export interface TokenSourceOptions extends TokenClient {
  readonly clock: Clock;
}

/** Gives a token that is good for a while yet. */
export type TokenSource = () => Promise<string>;

const answerSchema = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive().optional(),
});

/** Long enough for a handshake; a broker refuses a token that ends meanwhile. */
const SPARE_MS = 30_000;
/** RFC 6749 lets the endpoint leave the life time out. */
const LIFE_MS_UNSAID = 300_000;
const REQUEST_MS = 10_000;

/** One request at a time: connections that are made together share one token. */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { clock } = options;
  let kept: { token: string; goodUntilMs: number } | undefined;
  let asking: Promise<string> | undefined;
  const ask = async (): Promise<string> => {
    const { access_token: token, expires_in: lifeS } = await requestToken(options);
    const lifeMs = lifeS === undefined ? LIFE_MS_UNSAID : lifeS * 1_000;
    // A token with a very short life is used for the first half of it.
    kept = { token, goodUntilMs: clock.now() + Math.max(lifeMs - SPARE_MS, lifeMs / 2) };
    return token;
  };
  return () => {
    if (kept !== undefined && clock.now() < kept.goodUntilMs) return Promise.resolve(kept.token);
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

async function requestToken(client: TokenClient): Promise<z.output<typeof answerSchema>> {
  const { tokenUrl, clientId, clientSecret, scope } = client;
  const login = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`);
  let response: Response;
  try {
    response = await fetch(tokenUrl, {
      method: 'POST',
      headers: { authorization: `Basic ${login.toString('base64')}` },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        ...(scope === undefined ? {} : { scope }),
      }),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
  } catch (cause) {
    throw new PoolmeterError(
      'dependency.unavailable',
      `The token endpoint ${tokenUrl} cannot be reached: ${messageOf(cause)}.`,
      { retriable: true, details: { token_url: tokenUrl }, cause },
    );
  }
  if (!response.ok) {
    const isBusy = response.status >= 500 || response.status === 429;
    throw new PoolmeterError(
      isBusy ? 'dependency.unavailable' : 'dependency.refused',
      `The token endpoint ${tokenUrl} answered ${response.status}: check the client id, its secret and the scope.`,
      { retriable: isBusy, details: { token_url: tokenUrl, status: response.status } },
    );
  }
  const answer = answerSchema.safeParse(await response.json().catch(() => undefined));
  if (answer.success) return answer.data;
  throw new PoolmeterError(
    'dependency.refused',
    `The token endpoint ${tokenUrl} did not answer with an access_token: check that it is the right address.`,
    { details: { token_url: tokenUrl } },
  );
}
