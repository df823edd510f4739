import type { TextPlace } from './decode-samples.js';
import { RowWriter } from './row-writer.js';

/** A copy of one row with another text at a place that `createTextLocator` found. */
export function replaceText(
  rows: Buffer,
  row: { readonly start: number; readonly end: number; readonly place: TextPlace },
  text: string,
): Buffer {
  const writer = new RowWriter(Buffer.byteLength(text) + 4);
  writer.string(text);
  return Buffer.concat([
    rows.subarray(row.start, row.place.start),
    writer.finish(),
    rows.subarray(row.place.end, row.end),
  ]);
}
