/**
 * The answer to clickhouse-go's hello, as a Native block. clickhouse-go (the Grafana data source) decodes it at the
 * protocol revision that it asked with, and everything later at the `revision()` that it finds in it. The engine writes
 * Native at revision 0 whatever it is asked, so revision 0 is what the hello says.
 */
const BLOCK_INFO_FROM = 1;
const CUSTOM_SERIALIZATION_FROM = 54_454;

export interface HelloFacts {
  readonly version: string;
  readonly timezone: string;
}

export function helloBlock(facts: HelloFacts, clientRevision: number): Buffer {
  const text = (name: string, value: string) => columnOf(name, 'String', encodeText(value), clientRevision);
  const blockInfo = clientRevision >= BLOCK_INFO_FROM ? [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0] : [];
  return Buffer.concat([
    Buffer.from(blockInfo),
    encodeLength(4),
    encodeLength(1),
    text('displayName()', 'poolmeter embedded'),
    text('version()', facts.version),
    columnOf('revision()', 'UInt32', Buffer.alloc(4), clientRevision),
    text('timezone()', facts.timezone),
  ]);
}

function columnOf(name: string, type: string, value: Buffer, clientRevision: number): Buffer {
  const hasCustomSerialization = clientRevision >= CUSTOM_SERIALIZATION_FROM ? [0] : [];
  return Buffer.concat([encodeText(name), encodeText(type), Buffer.from(hasCustomSerialization), value]);
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([encodeLength(bytes.length), bytes]);
}

/** LEB128. */
function encodeLength(length: number): Buffer {
  const bytes: number[] = [];
  let rest = length;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}
