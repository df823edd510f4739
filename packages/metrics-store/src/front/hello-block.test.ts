import { describe, expect, it } from 'vitest';
import { helloBlock } from './hello-block.js';

const facts = { version: '26.7.2.1', timezone: 'UTC' };

describe('the hello of clickhouse-go', () => {
  it('is a Native block at the revision of the client that says revision 0', () => {
    const block = helloBlock(facts, 54_460);
    expect(block.subarray(0, 10).toString('hex')).toBe('010002ffffffff000401');
    const revision = block.indexOf('revision()');
    // Name, type with its length, no custom serialization, then the value.
    expect(block.subarray(revision + 10, revision + 22).toString('hex')).toBe(
      `06${Buffer.from('UInt32').toString('hex')}0000000000`,
    );
    expect(block.toString('latin1')).toContain('\u0008version()'.slice(1));
    expect(block.subarray(-4).toString('hex')).toBe(`03${Buffer.from('UTC').toString('hex')}`);
  });

  it('has neither block info nor serialization bytes for a client at revision 0', () => {
    const block = helloBlock(facts, 0);
    expect(block.subarray(0, 2).toString('hex')).toBe('0401');
    expect(helloBlock(facts, 54_460).length - block.length).toBe(8 + 4);
  });
});
