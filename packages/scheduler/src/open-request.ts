/** An HTTP request with what `fetch` has no room for: local sockets, own certificate authorities, client certificates. */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';

/** PEM texts. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface OpenRequestOptions {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal;
  readonly socketPath: string | undefined;
  readonly tls: TlsFiles | undefined;
}

/** Resolves with the head of the answer; the body is read from it. A cut connection makes reading it reject. */
export function openRequest(url: URL, options: OpenRequestOptions): Promise<IncomingMessage> {
  const { method, headers, body, signal, socketPath, tls } = options;
  const settings = {
    method,
    headers: body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
    signal,
    // One connection per request: a look every few seconds is too rare for a kept one to be worth its failures.
    agent: false,
    ...(socketPath === undefined ? {} : { socketPath }),
  };
  return new Promise((resolve, reject) => {
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...settings, ...(tls ?? {}) })
        : http.request(url, settings);
    request.once('response', resolve);
    request.once('error', reject);
    request.end(body);
  });
}
