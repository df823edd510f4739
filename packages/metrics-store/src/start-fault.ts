/** Why the child of the embedded ClickHouse did not start, as one sentence that says what to do. */
import { PoolmeterError } from '@poolmeter/domain';
import { ChildStartFault } from './front-child.js';
import { isProcessAlive } from './process-alive.js';
import { folderFault, type Holder, type StoreFolder } from './store-folder.js';

export interface StartContext {
  readonly folder: StoreFolder;
  readonly port: number;
  readonly holder: Holder | undefined;
}

export function startFaultToError(fault: unknown, context: StartContext): PoolmeterError {
  if (fault instanceof PoolmeterError) return fault;
  if (!(fault instanceof ChildStartFault)) return folderFault(context.folder.path, fault);
  const said = `${fault.message}\n${fault.stderr}`;
  if (fault.code === 'EADDRINUSE') return portInUse(context.port, fault);
  if (/Cannot lock file/i.test(said)) return lockedBy(context, fault);
  if (/ENOSPC|No space left|EDQUOT/i.test(said))
    return folderFault(context.folder.path, withCode('ENOSPC', fault));
  if (/EROFS|Read-only file system|EACCES|Permission denied/i.test(said)) {
    return folderFault(context.folder.path, withCode('EACCES', fault));
  }
  if (/no native binding|platform .* not supported|MODULE_NOT_FOUND|Cannot find module/i.test(said)) {
    return new PoolmeterError(
      'dependency.unavailable',
      'The embedded ClickHouse cannot run here: it needs Linux with glibc or macOS, and `npm ci` and the build done. Give the address of a ClickHouse server instead.',
      { cause: fault },
    );
  }
  return new PoolmeterError(
    'dependency.unavailable',
    `The embedded ClickHouse in ${context.folder.path} did not start: ${fault.message}.`,
    { retriable: true, details: { stderr: fault.stderr }, cause: fault },
  );
}

function portInUse(port: number, cause: Error): PoolmeterError {
  return new PoolmeterError(
    'port.in_use',
    `The embedded ClickHouse cannot listen on 127.0.0.1:${port} because another process does: choose another port (0 takes any free one).`,
    { retriable: true, details: { port }, cause },
  );
}

function lockedBy({ folder, holder }: StartContext, cause: Error): PoolmeterError {
  const who =
    holder === undefined ? 'another process' : `process ${holder.pid} (started by ${holder.parent_pid})`;
  return new PoolmeterError(
    'storage.locked',
    `${folder.path} is in use by ${who}: stop it or choose another data folder.`,
    {
      retriable: true,
      details: {
        path: folder.path,
        pid: holder?.pid,
        parentPid: holder?.parent_pid,
        holderIsOrphan: holder !== undefined && !isProcessAlive(holder.parent_pid),
      },
      cause,
    },
  );
}

function withCode(code: string, cause: Error): Error {
  return Object.assign(new Error(cause.message, { cause }), { code });
}
