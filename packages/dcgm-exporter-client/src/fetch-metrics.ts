/** Why a scrape gave nothing. */
export type FetchFaultReason =
  | 'http-status'
  | 'timeout'
  | 'refused'
  /** The connection failed or broke off in any other way. */
  | 'network'
  | 'too-large'
  | 'aborted';

export class MetricsFetchError extends Error {
  override readonly name = 'MetricsFetchError';
  readonly reason: FetchFaultReason;
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;

  constructor(reason: FetchFaultReason, message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.status = options.status;
  }
}

export interface FetchMetricsOptions {
  /** For the whole answer, body included; 5 s when absent. */
  readonly timeoutMs?: number;
  /** 16 MiB when absent: a node with 8 GPUs in 7 instances each takes about 1 MiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
  readonly fetch?: typeof globalThis.fetch;
}

const DEFAULT_TIMEOUT_MS = 5_000;
const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;

/** The whole text of a `/metrics` page, or a MetricsFetchError that says why there is none. */
export async function fetchMetrics(url: string, options: FetchMetricsOptions = {}): Promise<string> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(new TimeoutReached()), timeoutMs);
  const signals = options.signal === undefined ? [cut.signal] : [cut.signal, options.signal];
  try {
    const response = await (options.fetch ?? globalThis.fetch)(url, {
      signal: AbortSignal.any(signals),
      headers: { accept: 'text/plain;version=0.0.4' },
    });
    if (!response.ok) {
      await response.body?.cancel();
      const message = `${url} answered ${response.status}.`;
      throw new MetricsFetchError('http-status', message, { status: response.status });
    }
    return await readText(response, { url, maxBytes });
  } catch (cause) {
    throw asFetchError(cause, { url, timeoutMs, signal: options.signal, timedOut: cut.signal.aborted });
  } finally {
    clearTimeout(timer);
  }
}

class TimeoutReached extends Error {}

async function readText(
  response: Response,
  limits: { readonly url: string; readonly maxBytes: number },
): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    byteCount += chunk.byteLength;
    if (byteCount > limits.maxBytes) {
      throw new MetricsFetchError('too-large', `${limits.url} sent more than ${limits.maxBytes} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function asFetchError(
  cause: unknown,
  from: {
    readonly url: string;
    readonly timeoutMs: number;
    readonly signal: AbortSignal | undefined;
    readonly timedOut: boolean;
  },
): MetricsFetchError {
  if (cause instanceof MetricsFetchError) return cause;
  if (from.signal?.aborted === true) {
    return new MetricsFetchError('aborted', `The scrape of ${from.url} was called off.`, { cause });
  }
  if (from.timedOut) {
    return new MetricsFetchError('timeout', `${from.url} did not answer within ${from.timeoutMs} ms.`, {
      cause,
    });
  }
  if (networkCode(cause) === 'ECONNREFUSED') {
    return new MetricsFetchError('refused', `Nothing listens at ${from.url}.`, { cause });
  }
  const detail = cause instanceof Error ? (networkCode(cause) ?? cause.message) : String(cause);
  return new MetricsFetchError('network', `${from.url} could not be read: ${detail}.`, { cause });
}

/** fetch wraps the socket's error, and with several addresses an AggregateError around those, as its cause. */
function networkCode(error: unknown): string | undefined {
  for (let inner = error; inner instanceof Error; inner = inner.cause) {
    if ('code' in inner && typeof inner.code === 'string') return inner.code;
  }
  return undefined;
}
