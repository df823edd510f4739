import tls from 'node:tls';

const LIMIT_MS = 2_000;

/** Whether a server at `host:port` answers a TLS greeting; whose certificate it is does not matter here. */
export function speaksTls(address: string): Promise<boolean> {
  const colon = address.lastIndexOf(':');
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      rejectUnauthorized: false,
      timeout: LIMIT_MS,
    });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('secureConnect', () => {
      end(true);
    });
    socket.once('error', () => {
      end(false);
    });
    socket.once('timeout', () => {
      end(false);
    });
  });
}
