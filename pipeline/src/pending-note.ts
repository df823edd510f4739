/** The range that is about to be inserted, noted in the metadata of a commit: `pending:first-last`, both inclusive. */
export interface PendingRange {
  readonly first: bigint;
  readonly last: bigint;
}

export function formatPendingNote({ first, last }: PendingRange): string {
  return `pending:${first}-${last}`;
}

/** undefined when the metadata notes no range: everything before the position is stored. */
export function parsePendingNote(metadata: string): PendingRange | undefined {
  const match = /^pending:(\d+)-(\d+)$/.exec(metadata);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { first: BigInt(match[1]), last: BigInt(match[2]) };
}
