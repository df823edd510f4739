/** An error as ClickHouse words it, with the HTTP status that its server would answer. */

const STATUS_BY_CODE: Readonly<Record<number, number>> = {
  6: 400,
  26: 400,
  27: 400,
  33: 400,
  36: 400,
  41: 400,
  43: 400,
  46: 404,
  47: 404,
  48: 501,
  53: 400,
  60: 404,
  62: 400,
  69: 400,
  70: 400,
  72: 400,
  81: 404,
  115: 404,
  117: 400,
  159: 408,
  160: 408,
  202: 503,
  243: 507,
  307: 413,
  372: 404,
  456: 400,
  457: 400,
  497: 403,
  516: 403,
};

export class FrontError extends Error {
  override readonly name = 'FrontError';
  readonly clickhouseCode: number;

  constructor(clickhouseCode: number, type: string, message: string, options?: ErrorOptions) {
    super(`Code: ${clickhouseCode}. DB::Exception: ${message} (${type})`, options);
    this.clickhouseCode = clickhouseCode;
  }
}

/** The code of anything that was thrown while a request was served; 1002 = unknown, as in ClickHouse. */
export function clickhouseCodeOf(thrown: unknown): number {
  if (thrown instanceof FrontError) return thrown.clickhouseCode;
  const code = /Code: (\d+)/.exec(thrown instanceof Error ? thrown.message : '')?.[1];
  return code === undefined ? 1002 : Number(code);
}

export function httpStatusOf(clickhouseCode: number): number {
  return STATUS_BY_CODE[clickhouseCode] ?? 500;
}

/** A system fault of ours (the spool's disk, say) in ClickHouse's words. */
export function asFrontError(thrown: unknown): Error {
  if (thrown instanceof FrontError) return thrown;
  if (!(thrown instanceof Error)) return new FrontError(1002, 'UNKNOWN_EXCEPTION', String(thrown));
  switch ((thrown as NodeJS.ErrnoException).code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new FrontError(243, 'NOT_ENOUGH_SPACE', 'No space left on device for the body of the request', {
        cause: thrown,
      });
    case 'EROFS':
    case 'EACCES':
      return new FrontError(76, 'CANNOT_OPEN_FILE', `Read-only file system: ${thrown.message}`, {
        cause: thrown,
      });
    case 'Z_DATA_ERROR':
    case 'Z_BUF_ERROR':
      return new FrontError(354, 'ZLIB_INFLATE_FAILED', 'The compressed body of the request is damaged', {
        cause: thrown,
      });
    default:
      return /Code: \d+/.test(thrown.message)
        ? thrown
        : new FrontError(1001, 'STD_EXCEPTION', thrown.message, { cause: thrown });
  }
}
