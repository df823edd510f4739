/**
 * The sockets of our kafkajs clients, which mend two of its faults where bytes pass.
 *
 * Frames: a connection of kafkajs keeps the first part of an answer when it is cut, and reads the next connection's
 * first bytes as the rest of it. What follows is nonsense: time-outs, or an exception that ends the process. So only
 * whole answers are handed to it.
 *
 * Joins: kafkajs tells about a rebalance but does not wait: it would join at once, and the flush that commits the last
 * positions would come too late. So a request to join is held back, recognised by its API key.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { ISocketFactory, ISocketFactoryArgs } from 'kafkajs';

export interface KafkaSocketOptions {
  /** Opens the connection; straight to the broker when absent. */
  readonly connect?: (target: ISocketFactoryArgs) => net.Socket;
  /** Awaited before a group is joined; returns undefined when there is nothing to hand over. Must not reject. */
  readonly beforeJoin?: () => Promise<void> | undefined;
}

const JOIN_GROUP = 11;
/** Before each request and answer stands its length. */
const LENGTH_BYTES = 4;
const KEEP_ALIVE_DELAY_MS = 60_000;

export function kafkaSocketFactory(options: KafkaSocketOptions = {}): ISocketFactory {
  const { connect = connectTo, beforeJoin } = options;
  return (target) => {
    const socket = connect(target);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    handOverWholeFrames(socket);
    if (beforeJoin !== undefined) gateWrites(socket, beforeJoin);
    return socket;
  };
}

function connectTo({ host, port, ssl, onConnect }: ISocketFactoryArgs): net.Socket {
  // The types promise TLS options always; a plain listener gets none.
  const secure = ssl as tls.ConnectionOptions | undefined;
  if (!secure) return net.connect({ host, port }, onConnect);
  return tls.connect(
    { host, port, ...(net.isIP(host) === 0 ? { servername: host } : {}), ...secure },
    onConnect,
  );
}

function handOverWholeFrames(socket: net.Socket): void {
  const on = socket.on.bind(socket) as (event: string, listener: (...args: never[]) => void) => net.Socket;
  const framed = (event: string, listener: (...args: never[]) => void): net.Socket =>
    on(event, event === 'data' ? wholeFrames(listener as (frames: Buffer) => void) : listener);
  socket.on = framed as typeof socket.on;
}

/** Calls back with one whole frame after the other, and keeps the part that is not whole yet. */
export function wholeFrames(onFrame: (frame: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let [bytes, needed] = [0, LENGTH_BYTES];
  return (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes < needed) return;
    let rest = Buffer.concat(chunks, bytes);
    let length = frameLength(rest);
    while (rest.length >= length) {
      onFrame(rest.subarray(0, length));
      rest = rest.subarray(length);
      length = frameLength(rest);
    }
    chunks = [rest];
    [bytes, needed] = [rest.length, length];
  };
}

/** The length of the frame that these bytes begin; of its length field as long as that is not whole. */
function frameLength(bytes: Buffer): number {
  return bytes.length < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + bytes.readInt32BE(0);
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
    chunk.length > LENGTH_BYTES + 2 &&
    chunk.readInt16BE(LENGTH_BYTES) === JOIN_GROUP
  );
}
