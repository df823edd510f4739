/** Reads the fields of a multipart/form-data body that is in memory whole. Files among them are taken for text too. */
import { FrontError } from './clickhouse-error.js';

const BOUNDARY = /boundary=(?:"([^"]+)"|([^;\s]+))/i;
const FIELD_NAME = /content-disposition:[^\r\n]*;\s*name="([^"]*)"/i;
const HEADER_END = '\r\n\r\n';

export function multipartFields(body: Buffer, contentType: string): Map<string, string> {
  const found = BOUNDARY.exec(contentType);
  const boundary = found?.[1] ?? found?.[2];
  if (boundary === undefined) throw unreadable('it names no boundary');
  const delimiter = `\r\n--${boundary}`;
  // The first delimiter has no line end before it; with one it is like the others.
  const parts = Buffer.concat([Buffer.from('\r\n'), body]);
  const fields = new Map<string, string>();
  let at = parts.indexOf(delimiter);
  if (at === -1) throw unreadable('its boundary is missing');
  for (;;) {
    const from = at + delimiter.length;
    if (parts.toString('latin1', from, from + 2) === '--') return fields;
    const next = parts.indexOf(delimiter, from);
    if (next === -1) throw unreadable('it ends in the middle of a field');
    const [name, value] = fieldOf(parts.subarray(from, next));
    fields.set(name, value);
    at = next;
  }
}

function fieldOf(part: Buffer): [string, string] {
  const headerEnd = part.indexOf(HEADER_END);
  const name = FIELD_NAME.exec(part.toString('utf8', 0, Math.max(0, headerEnd)))?.[1];
  if (name === undefined) throw unreadable('a field has no name');
  return [name, part.toString('utf8', headerEnd + HEADER_END.length)];
}

function unreadable(why: string): FrontError {
  return new FrontError(36, 'BAD_ARGUMENTS', `The multipart body of the request cannot be read: ${why}`);
}
