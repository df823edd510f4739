/** An HTTP server on loopback that plays exporters: each test says what a path answers. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ExporterStandIn {
  /** Without a slash at its end. */
  readonly url: string;
  stop(): Promise<void>;
}

/** A request that the handler leaves open stays open until the stop. */
export async function startExporterStandIn(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<ExporterStandIn> {
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
