/** Turns what LMDB and the file system throw into errors that say what to do. */
import { statfsSync } from 'node:fs';
import { isPoolmeterError, messageOf, PoolmeterError } from '@poolmeter/domain';

/** Below this, a failed write is taken for a full disk: LMDB reports a short write as a bare input/output error. */
const NEARLY_FULL_BYTES = 16 * 1024 * 1024;

const FULL_CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG', 28, 122, 27];
const READ_ONLY_CODES: readonly unknown[] = ['EACCES', 'EPERM', 'EROFS', 13, 1, 30];
/** MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_VERSION_MISMATCH. */
const CORRUPT_CODES: readonly unknown[] = [-30796, -30797, -30793, -30794];
/** MDB_MAP_FULL: the log has reached the size that it was opened for. */
const MAP_FULL_CODE = -30792;

/** The bytes that an ordinary user may still write in this folder's file system. */
export function freeBytesOf(directory: string): number {
  const status = statfsSync(directory);
  return status.bavail * status.bsize;
}

/** The fault of a write: lmdb gives the real reason of a failed commit in a promise beside the error. */
export async function writeFault(thrown: unknown, directory: string): Promise<PoolmeterError> {
  return storageFault(await commitErrorOf(thrown), directory);
}

export function storageFault(cause: unknown, directory: string): PoolmeterError {
  if (isPoolmeterError(cause)) return cause;
  const code = (cause as { code?: unknown } | null)?.code;
  const details = { directory, reason: messageOf(cause) };
  if (code === MAP_FULL_CODE || FULL_CODES.includes(code) || isNearlyFull(directory)) {
    return new PoolmeterError(
      'storage.full',
      `There is no room left for ${directory}: free some disk space.`,
      {
        retriable: true,
        details,
        cause,
      },
    );
  }
  if (READ_ONLY_CODES.includes(code)) {
    return new PoolmeterError(
      'storage.read_only',
      `${directory} cannot be written: make it writable for this user.`,
      { details, cause },
    );
  }
  if (CORRUPT_CODES.includes(code)) {
    return new PoolmeterError(
      'storage.corrupt',
      `${directory} does not hold a readable log: restore it from a backup or choose another folder.`,
      { details, cause },
    );
  }
  return new PoolmeterError('internal', `The log in ${directory} failed: ${messageOf(cause)}`, {
    retriable: true,
    details,
    cause,
  });
}

/** lmdb rejects a failed commit with a general error whose `commitError` promise rejects with the real one. */
async function commitErrorOf(thrown: unknown): Promise<unknown> {
  const pending = (thrown as { commitError?: Promise<unknown> } | null)?.commitError;
  if (pending === undefined) return thrown;
  try {
    await pending;
    return thrown;
  } catch (real) {
    return real;
  }
}

function isNearlyFull(directory: string): boolean {
  try {
    return freeBytesOf(directory) < NEARLY_FULL_BYTES;
  } catch {
    // The folder itself is gone or unreadable; the first fault says more than this one.
    return false;
  }
}
