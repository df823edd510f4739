/**
 * Holds back a consumer's request to join its group until it has handed over what it owned. kafkajs tells about a
 * rebalance but does not wait: it would join at once, and the flush that commits the last positions would come too
 * late. The request is recognised where it leaves, on the socket, by its API key.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { ISocketFactory } from 'kafkajs';

const JOIN_GROUP = 11;
/** Four bytes of length come first, then the API key. */
const API_KEY_OFFSET = 4;
const KEEP_ALIVE_DELAY_MS = 60_000;

/** `beforeJoin` returns undefined when there is nothing to hand over. It must not reject. */
export function gatedSocketFactory(beforeJoin: () => Promise<void> | undefined): ISocketFactory {
  return ({ host, port, ssl, onConnect }) => {
    // The types promise TLS options always; a plain listener gets none.
    const secure = ssl as tls.ConnectionOptions | undefined;
    const socket = secure
      ? tls.connect(
          { host, port, ...(net.isIP(host) === 0 ? { servername: host } : {}), ...secure },
          onConnect,
        )
      : net.connect({ host, port }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    gateWrites(socket, beforeJoin);
    return socket;
  };
}

function gateWrites(socket: net.Socket, beforeJoin: () => Promise<void> | undefined): void {
  const write = socket.write.bind(socket) as (chunk: Buffer, encoding?: BufferEncoding) => boolean;
  const gated = (chunk: Buffer, encoding?: BufferEncoding): boolean => {
    const wait = isJoinGroup(chunk) ? beforeJoin() : undefined;
    if (wait === undefined) return write(chunk, encoding);
    void wait.then(() => {
      // The connection may have ended meanwhile; kafkajs then joins again on another one.
      if (!socket.destroyed) write(chunk, encoding);
    });
    return true;
  };
  socket.write = gated as typeof socket.write;
}

function isJoinGroup(chunk: unknown): boolean {
  return (
    Buffer.isBuffer(chunk) &&
    chunk.length > API_KEY_OFFSET + 2 &&
    chunk.readInt16BE(API_KEY_OFFSET) === JOIN_GROUP
  );
}
