/** How the command line speaks of a failure: one sentence on stderr that says what to do, and an exit code. */
import { isPoolmeterError, messageOf, type ErrorCode } from '@poolmeter/domain';

export const exitCodes = { done: 0, doesNotHold: 1, wrongInput: 2, unreachable: 3 } as const;

/** Codes that mean "a dependency could not be reached or would not work", not "you asked wrongly". */
const UNREACHABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'dependency.unavailable',
  'dependency.refused',
  'timeout',
  'scrape.failed',
  'scrape.timeout',
  'bus.rejected',
  'bus.closed',
  'storage.full',
  'storage.read_only',
  'storage.corrupt',
]);

/** The thing asked for does not hold: a mismatch, an unhealthy dependency. Its message was already printed. */
export class DoesNotHold extends Error {
  override readonly name = 'DoesNotHold';
}

export function exitCodeOf(fault: unknown): number {
  if (fault instanceof DoesNotHold) return exitCodes.doesNotHold;
  if (isPoolmeterError(fault)) {
    if (fault.code === 'internal') return exitCodes.doesNotHold;
    return UNREACHABLE.has(fault.code) ? exitCodes.unreachable : exitCodes.wrongInput;
  }
  return exitCodes.doesNotHold;
}

/** Writes the fault for a person; the stack only when asked. */
export function reportFault(fault: unknown, options: { debug: boolean; write(text: string): void }): number {
  const message = messageOf(fault);
  if (message !== '') options.write(`${message.trimEnd()}\n`);
  if (options.debug && fault instanceof Error) {
    options.write(`${fault.stack ?? ''}\n`);
    if (fault.cause instanceof Error)
      options.write(`Caused by: ${fault.cause.stack ?? fault.cause.message}\n`);
  }
  return exitCodeOf(fault);
}
