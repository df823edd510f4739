import type { Clock } from '@poolmeter/domain';

/** Where a command writes, and what kind of place that is. */
export interface Terminal {
  write(text: string): void;
  writeError(text: string): void;
  /** False in a pipe or a file: no colours, no borders, no live view. */
  readonly isTerminal: boolean;
  /** Of a terminal, in characters. */
  readonly columns: number | undefined;
  readonly rows: number | undefined;
  /** Calls back for every key; absent when nobody types. Returns what gives the keyboard back. */
  readonly listenToKeys?: (onKey: (key: string) => void) => () => void;
}

/** What the process gives to every command. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly clock: Clock;
}
