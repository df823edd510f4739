/** A TCP proxy that fails as networks fail: it cuts connections, swallows answers, and lets nobody in. */
import { once } from 'node:events';
import net from 'node:net';

export interface CuttingProxy {
  readonly port: number;
  /** Resets every connection now. */
  cut(): void;
  /** For this long requests still arrive, but answers are swallowed and their connections reset at the end. */
  swallowAnswersFor(ms: number): Promise<void>;
  /** For this long nobody can connect, and whoever was connected is reset. */
  closeFor(ms: number): Promise<void>;
  /** Resolves when the next INSERT begins to pass. */
  nextInsert(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

type Mode = 'pass' | 'swallow' | 'closed';

export async function startCuttingProxy(targetPort: number): Promise<CuttingProxy> {
  let mode: Mode = 'pass';
  const pairs = new Set<() => void>();
  const waiting = new Set<() => void>();

  const server = net.createServer((client) => {
    if (mode === 'closed') {
      client.resetAndDestroy();
      return;
    }
    const target = net.connect({ port: targetPort, host: '127.0.0.1' });
    const end = () => {
      pairs.delete(end);
      client.resetAndDestroy();
      target.destroy();
    };
    pairs.add(end);
    client.on('error', end).on('close', end);
    target.on('error', end).on('close', end);
    client.on('data', (chunk: Buffer) => {
      if (chunk.includes('INSERT')) for (const wake of waiting) wake();
      target.write(chunk);
    });
    target.on('data', (chunk: Buffer) => {
      if (mode === 'pass') client.write(chunk);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const cut = () => {
    for (const end of [...pairs]) end();
  };
  const during = async (other: Mode, ms: number) => {
    mode = other;
    if (other === 'closed') cut();
    await new Promise((resolve) => setTimeout(resolve, ms));
    mode = 'pass';
    cut();
  };
  return {
    port: (server.address() as net.AddressInfo).port,
    cut,
    swallowAnswersFor: (ms) => during('swallow', ms),
    closeFor: (ms) => during('closed', ms),
    nextInsert: (signal) =>
      new Promise((resolve) => {
        const wake = () => {
          waiting.delete(wake);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      }),
    stop: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
