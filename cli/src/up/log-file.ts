import { createWriteStream, type WriteStream } from 'node:fs';

/** The log of `up`, beside its data: the terminal stays free for what a person needs. */
export interface LogFile {
  readonly stream: WriteStream;
  close(): void;
}

export function openLogFile(path: string): LogFile {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  // A full disk must not end the process that is about to say so: what cannot be logged is said once on stderr.
  stream.once('error', (fault) =>
    process.stderr.write(`The log ${path} cannot be written: ${fault.message}.\n`),
  );
  return { stream, close: () => stream.end() };
}
