/** Reads bodies within limits: into memory where they are SQL or parameters, into the spool where they are rows. */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { FrontError } from './clickhouse-error.js';

const DECODERS = { gzip: createGunzip, deflate: createInflate, br: createBrotliDecompress } as const;

export function contentEncodingOf(request: IncomingMessage): string {
  const encoding = (request.headers['content-encoding'] ?? '').toLowerCase();
  return encoding === 'identity' ? '' : encoding;
}

/** The body without its compression. */
export function decodedBody(request: IncomingMessage): Readable {
  const encoding = contentEncodingOf(request);
  if (encoding === '') return request;
  if (!isKnown(encoding)) {
    throw new FrontError(48, 'NOT_IMPLEMENTED', `Content-Encoding ${encoding} is not understood`);
  }
  const decoder = DECODERS[encoding]();
  request.on('error', (fault) => decoder.destroy(fault));
  return request.pipe(decoder);
}

function isKnown(encoding: string): encoding is keyof typeof DECODERS {
  return encoding in DECODERS;
}

export async function readBody(body: Readable, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of limited(body, limitBytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Passes chunks on and throws when there are more bytes than allowed. */
export async function* limited(body: Readable, limitBytes: number): AsyncGenerator<Buffer, void> {
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limitBytes) {
      throw new FrontError(
        307,
        'TOO_MANY_BYTES',
        `The body of the request is larger than ${limitBytes} bytes: send it in parts`,
      );
    }
    yield chunk;
  }
}
