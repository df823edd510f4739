/** The command line is a client of the API like any other: this is how it asks. */
import { PoolmeterError, messageOf, type ErrorCode, errorCodes } from '@poolmeter/domain';

export interface ApiClient {
  readonly url: string;
  get<T>(path: string, query?: Query): Promise<T>;
  post<T>(path: string, body?: unknown, options?: PostOptions): Promise<T>;
  delete(path: string): Promise<void>;
  /** The answer as it came: for CSV, PDF and other files. */
  getRaw(path: string, query?: Query, accept?: string): Promise<Response>;
  /** Every row of a list, page after page. */
  list<T>(path: string, query?: Query): AsyncGenerator<T>;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

export interface PostOptions {
  readonly query?: Query;
  readonly contentType?: string;
  readonly idempotencyKey?: string;
}

interface Page<T> {
  readonly data: readonly T[];
  readonly next_cursor: string | null;
}

const TIMEOUT_MS = 120_000;

export function createApiClient(origin: { url: string; token: string }): ApiClient {
  const send = async (
    method: string,
    path: string,
    init: RequestInit & { query?: Query },
  ): Promise<Response> => {
    const answer = await request(origin, method, path, init);
    if (!answer.ok) throw await refusal(answer);
    return answer;
  };
  const client: ApiClient = {
    url: origin.url,
    async get<T>(path: string, query: Query = {}) {
      return (await (await send('GET', path, { query })).json()) as T;
    },
    async post<T>(path: string, body?: unknown, options: PostOptions = {}) {
      const headers: Record<string, string> = {};
      if (options.idempotencyKey !== undefined) headers['idempotency-key'] = options.idempotencyKey;
      if (body !== undefined) headers['content-type'] = options.contentType ?? 'application/json';
      const text = typeof body === 'string' ? body : body === undefined ? null : JSON.stringify(body);
      const answer = await send('POST', path, { headers, body: text, query: options.query ?? {} });
      return (answer.status === 204 ? undefined : await answer.json()) as T;
    },
    async delete(path) {
      await send('DELETE', path, {});
    },
    getRaw: (path, query = {}, accept = '*/*') => send('GET', path, { query, headers: { accept } }),
    async *list<T>(path: string, query: Query = {}) {
      let cursor: string | undefined;
      do {
        const page: Page<T> = await client.get(path, { limit: 200, ...query, cursor });
        yield* page.data;
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
    },
  };
  return client;
}

async function request(
  origin: { url: string; token: string },
  method: string,
  path: string,
  { query = {}, ...init }: RequestInit & { query?: Query },
): Promise<Response> {
  const url = new URL(path, origin.url);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, String(value));
  try {
    return await fetch(url, {
      ...init,
      method,
      headers: { authorization: `Bearer ${origin.token}`, ...(init.headers as Record<string, string>) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (fault) {
    throw new PoolmeterError(
      'dependency.unavailable',
      `poolmeter cannot be reached at ${origin.url} (${causeOf(fault)}): start it with "poolmeter up", or set POOLMETER_URL.`,
      { retriable: true, cause: fault },
    );
  }
}

function causeOf(fault: unknown): string {
  const cause = fault instanceof Error ? fault.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : messageOf(fault);
}

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly title?: string;
  readonly errors?: readonly { path: string; message: string }[];
}

async function refusal(answer: Response): Promise<PoolmeterError> {
  const text = await answer.text();
  const problem = parseProblem(text);
  const faults = (problem.errors ?? []).map(
    (one) => `${one.path === '' ? '' : `${one.path}: `}${one.message}`,
  );
  const sentence = problem.detail ?? problem.title ?? (text.slice(0, 300) || answer.statusText);
  const code = (errorCodes as readonly string[]).includes(problem.code ?? '')
    ? (problem.code as ErrorCode)
    : codeOf(answer.status);
  return new PoolmeterError(
    code,
    faults.length === 0 ? sentence : `${sentence.replace(/[.\s]*$/, '')}: ${faults.join('; ')}.`,
    {
      details: { status: answer.status, errors: problem.errors },
    },
  );
}

function parseProblem(text: string): Problem {
  try {
    return JSON.parse(text) as Problem;
  } catch {
    // Not poolmeter's answer (a proxy's page, say): the status and the text speak for it.
    return {};
  }
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  return status >= 500 ? 'dependency.unavailable' : 'input.invalid';
}
