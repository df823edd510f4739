/** What reading a message gives: rows for tables, or a reason why not. */
import type { ErrorCode } from '@poolmeter/domain';
import type { StoredMessage } from '@poolmeter/event-bus';

interface RowsFacts {
  readonly table: string;
  /** Rows of one group go into one INSERT: they have the table, its partition and their columns in common. */
  readonly group: string;
  readonly rowCount: number;
}

/** Rows for one table and one of its partitions, as they go into the insert. */
export type TableRows =
  | (RowsFacts & {
      /** RowBinary. */
      readonly bytes: Buffer;
      /** Stored columns in the order of the bytes. */
      readonly columns: readonly string[];
      /** The newest time in the rows. */
      readonly newestTsMs: number;
    })
  | (RowsFacts & { readonly row: Readonly<Record<string, unknown>>; readonly rowCount: 1 });

export type MessageContent =
  | { readonly ok: true; readonly rows: readonly TableRows[] }
  | { readonly ok: false; readonly code: ErrorCode; readonly reason: string };

/** Never throws: what cannot be read has a code and a reason, and goes to the dead-letter topic. */
export type ReadMessage = (message: StoredMessage) => MessageContent;
