/** One dcgm-exporter on a port of its own, which hangs, fails and vanishes when the pool says so. */
import { PoolmeterError } from '@poolmeter/domain';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PoolTime } from './pool-time.js';
import type { SimulatedPool } from './simulated-pool.js';

export interface ExporterOptions {
  readonly pool: SimulatedPool;
  readonly time: PoolTime;
  readonly node: string;
  readonly host: string;
}

export interface ExporterServer {
  /** `http://127.0.0.1:PORT/metrics`. */
  readonly url: string;
  close(): Promise<void>;
}

export async function openExporter(options: ExporterOptions): Promise<ExporterServer> {
  const server = createServer((request, response) => answer(options, request, response));
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host}:${port}/metrics`,
    close: () =>
      new Promise((resolve) => {
        // Whoever waits for a hanging exporter is cut off, as when a process ends.
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, options: ExporterOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new PoolmeterError(
          'dependency.unavailable',
          `The simulated exporter of ${options.node} cannot listen on ${options.host}: ${cause.message}.`,
          { cause },
        ),
      ),
    );
    server.listen(0, options.host, resolve);
  });
}

function answer(options: ExporterOptions, request: IncomingMessage, response: ServerResponse): void {
  const outcome = options.pool.scrape(options.node, options.time.advance());
  if (outcome.kind === 'refused') {
    request.socket.destroy();
    return;
  }
  const path = request.url?.split('?')[0];
  if (path === '/health') {
    // The real one says so whatever its collectors do.
    send(response, 200, 'OK');
    return;
  }
  if (path !== '/metrics') {
    send(response, 404, '404 page not found\n');
    return;
  }
  switch (outcome.kind) {
    case 'hang':
      return;
    case 'error':
      send(response, outcome.status, outcome.body);
      return;
    case 'text':
      send(response, 200, outcome.text);
  }
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
