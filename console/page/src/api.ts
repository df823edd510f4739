/** Calls of the page's own origin, with the session cookie. */

/** Nobody is signed in, or the session has ended. */
export class SignedOutError extends Error {}

/** The server's own words for what went wrong. */
export class ApiError extends Error {}

interface Problem {
  readonly detail?: string;
  readonly title?: string;
}

export async function getJson<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(path, {
    signal,
    headers: { accept: 'application/json' },
    credentials: 'same-origin',
  });
  if (response.status === 401) throw new SignedOutError('Sign in to go on.');
  if (!response.ok) throw new ApiError(await problemText(response));
  return (await response.json()) as T;
}

async function problemText(response: Response): Promise<string> {
  const type = response.headers.get('content-type') ?? '';
  if (!type.includes('json')) return `The server answered ${response.status}.`;
  const problem = (await response.json()) as Problem;
  return problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
}

export function isAbort(fault: unknown): boolean {
  return fault instanceof DOMException && fault.name === 'AbortError';
}
