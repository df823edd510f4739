/**
 * A server that fails after the first byte can no longer say so with a status: it writes the fault behind the rows. Who
 * keeps the bytes must not keep them as if they were all.
 */
import { Readable } from 'node:stream';
import { PoolmeterError } from '@poolmeter/domain';

const FAULT_AT_THE_END = /__exception__|Code: \d+\. DB::Exception/;
/** A fault and its frame are shorter than this. */
const TAIL_BYTES = 32_768;

/** The same bytes; an error at their end when what they end with is a fault. */
export function wholeAnswer(answer: Readable, action: string): Readable {
  return Readable.from(checked(answer as AsyncIterable<Buffer>, action), { objectMode: false });
}

async function* checked(chunks: AsyncIterable<Buffer>, action: string): AsyncGenerator<Buffer, void> {
  let tail = Buffer.alloc(0);
  for await (const chunk of chunks) {
    tail = Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
    yield chunk;
  }
  const fault = FAULT_AT_THE_END.exec(tail.toString('latin1'));
  if (fault === null) return;
  const message = tail
    .toString('utf8', fault.index)
    .replace(/__exception__|\s+/g, ' ')
    .trim()
    .slice(0, 500);
  throw new PoolmeterError('dependency.refused', `ClickHouse could not ${action}: ${message}`);
}
