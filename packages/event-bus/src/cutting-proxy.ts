/** A TCP proxy for tests that stands before one Kafka broker and cuts connections at the worst moments. */
import net from 'node:net';
import { wholeFrames, type KafkaSocketOptions } from './kafka-socket.js';

export interface CuttingProxyOptions {
  /** The broker, host:port. */
  readonly target: string;
  /** Asked for every produce request, counted from 1: its answer is dropped and the connection cut. */
  readonly dropsAnswer?: (request: number) => boolean;
  /** Asked for every chunk in either direction: how many of its bytes still pass before the cut; undefined for all. */
  readonly cutsAfter?: (bytes: number) => number | undefined;
}

export interface CuttingProxy {
  /** Leads a client through the proxy, whatever address the broker tells about itself. */
  readonly connect: NonNullable<KafkaSocketOptions['connect']>;
  readonly cuts: () => number;
  close(): Promise<void>;
}

const PRODUCE = 0;
/** After four bytes of length: a request has API key, version and id, an answer the id. */
const API_KEY_AT = 4;
const REQUEST_ID_AT = 8;
const ANSWERED_ID_AT = 4;

export async function startCuttingProxy(options: CuttingProxyOptions): Promise<CuttingProxy> {
  const [host = '', port = ''] = options.target.split(':');
  const open = new Set<net.Socket>();
  let [cuts, produced] = [0, 0];
  const server = net.createServer((client) => {
    const broker = net.connect({ host, port: Number(port) });
    const doomed = new Set<number>();
    const cut = () => {
      cuts += 1;
      client.destroy();
      broker.destroy();
    };
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
      let isDoomed = false;
      const look = wholeFrames((frame) => {
        const isProduce = from === client && frame.readInt16BE(API_KEY_AT) === PRODUCE;
        if (isProduce && options.dropsAnswer?.((produced += 1)) === true)
          doomed.add(frame.readInt32BE(REQUEST_ID_AT));
        if (from === broker && doomed.has(frame.readInt32BE(ANSWERED_ID_AT))) isDoomed = true;
      });
      from.on('data', (chunk: Buffer) => {
        const passing = options.cutsAfter?.(chunk.length);
        look(chunk);
        if (isDoomed) {
          cut();
          return;
        }
        to.write(passing === undefined ? chunk : chunk.subarray(0, passing));
        // What was passed on is on its way: the cut comes after it, as on a real line.
        if (passing !== undefined) setImmediate(cut);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: proxyPort } = server.address() as net.AddressInfo;
  return {
    connect: ({ onConnect }) => net.connect({ host: '127.0.0.1', port: proxyPort }, onConnect),
    cuts: () => cuts,
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Numbers from 0 up to 1 that are the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
