import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wholeFrames } from './kafka-socket.js';

function frame(body: string): Buffer {
  const bytes = Buffer.from(body);
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

describe('answers on a socket', () => {
  it('are handed over whole, however the network cuts them', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 8 }), fc.array(fc.nat(40)), (bodies, cuts) => {
        const bytes = Buffer.concat(bodies.map(frame));
        const seen: string[] = [];
        const take = wholeFrames((one) => seen.push(one.subarray(4).toString()));
        let at = 0;
        for (const size of [...cuts, bytes.length]) {
          take(bytes.subarray(at, at + size));
          at += size;
        }
        expect(seen).toEqual(bodies.map((body) => Buffer.from(body).toString()));
      }),
    );
  });

  it('are not handed over in part', () => {
    const seen: Buffer[] = [];
    const take = wholeFrames((one) => seen.push(one));
    take(frame('first'));
    take(frame('second').subarray(0, 9));
    expect(seen.map(String)).toEqual([String(frame('first'))]);
  });
});
