import { systemClock } from '@poolmeter/domain';
import { runCommandLine } from './program.js';

export interface RecordedRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line in this process, for tests. */
export async function runRecorded(
  args: readonly string[],
  options: { env?: Readonly<Record<string, string>>; isTerminal?: boolean } = {},
): Promise<RecordedRun> {
  let stdout = '';
  let stderr = '';
  const exitCode = await runCommandLine(args, {
    env: options.env ?? {},
    clock: systemClock,
    terminal: {
      write: (text) => {
        stdout += text;
      },
      writeError: (text) => {
        stderr += text;
      },
      isTerminal: options.isTerminal ?? false,
      columns: 120,
      rows: 40,
    },
  });
  return { exitCode, stdout, stderr };
}
