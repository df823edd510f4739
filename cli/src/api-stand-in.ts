/** A loopback HTTP server that answers as the API would, for tests of the command line. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly contentType: string | undefined;
  readonly authorization: string | undefined;
  readonly body: string;
}

export interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  /** `application/json` when absent. */
  readonly contentType?: string;
}

export interface ApiStandIn {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  close(): Promise<void>;
}

/** `answers` are found by method and path: `GET /v1/gpus`; what is not among them is answered as the API does. */
export async function serveAnswers(
  answers: Readonly<Record<string, Answer | ((url: URL) => Answer)>>,
): Promise<ApiStandIn> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? '/', 'http://127.0.0.1');
      seen.push(await seenOf(request));
      const found = answers[`${request.method ?? ''} ${url.pathname}`] ?? unknownPath(url);
      const {
        status = 200,
        body,
        contentType = 'application/json',
      } = typeof found === 'function' ? found(url) : found;
      response.writeHead(status, { 'content-type': contentType });
      response.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function problem(status: number, code: string, detail: string, errors?: readonly object[]): Answer {
  return { status, contentType: 'application/problem+json', body: { status, code, detail, errors } };
}

function unknownPath(url: URL): Answer {
  return problem(404, 'not_found', `There is nothing at ${url.pathname}; /docs lists what is.`);
}

async function seenOf(request: IncomingMessage): Promise<SeenRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    contentType: request.headers['content-type'],
    authorization: request.headers.authorization,
    body: Buffer.concat(chunks).toString('utf8'),
  };
}
