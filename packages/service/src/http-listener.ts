/** Binds a fetch handler to a TCP port and says what to do when that is not possible. */
import { createAdaptorServer } from '@hono/node-server';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HttpListenerOptions {
  /** What listens, for messages: `the API`, `the ops server of the collector`. */
  readonly name: string;
  /** 127.0.0.1 unless the operator asked for more. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** How to choose another port, for the message when this one is taken: `--port` or a variable's name. */
  readonly portSetting?: string;
  readonly fetch: (request: Request, env: unknown) => Response | Promise<Response>;
}

export interface HttpListener {
  /** `http://127.0.0.1:8080`, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Lets requests in hand finish for up to `graceMs` (2 s when absent), then cuts what is left. */
  close(graceMs?: number): Promise<void>;
}

export async function openHttpListener(options: HttpListenerOptions): Promise<HttpListener> {
  const server = createAdaptorServer({ fetch: options.fetch }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenFault(options, cause)));
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return { url: `http://${host}:${port}`, port, close: (graceMs = 2_000) => closeServer(server, graceMs) };
}

const SWEEP_MS = 20;

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    // A connection that was busy at the close and is kept alive by its client would else hold the server open.
    const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
    // The only error here is "not running", which is what the caller wants.
    server.close(() => {
      clearTimeout(cut);
      clearInterval(sweep);
      resolve();
    });
    server.closeIdleConnections();
  });
}

function listenFault(options: HttpListenerOptions, cause: Error & { code?: string }): PoolmeterError {
  const address = `${options.host}:${options.port}`;
  const setting = options.portSetting ?? 'the port setting';
  const context = { details: { host: options.host, port: options.port }, cause };
  switch (cause.code) {
    case 'EADDRINUSE':
      return new PoolmeterError(
        'port.in_use',
        `${options.name} cannot listen on ${address} because another process does: stop that process or choose another port with ${setting} (0 takes any free one).`,
        context,
      );
    case 'EACCES':
      return new PoolmeterError(
        'config.invalid',
        `${options.name} may not listen on ${address}: choose a port above 1023 with ${setting}.`,
        context,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new PoolmeterError(
        'config.invalid',
        `${options.name} cannot listen on ${address} because this machine has no such address: use 127.0.0.1 or 0.0.0.0.`,
        context,
      );
    default:
      return new PoolmeterError(
        'dependency.unavailable',
        `${options.name} cannot listen on ${address}: ${messageOf(cause)}.`,
        context,
      );
  }
}
