import { PoolmeterError } from '@poolmeter/domain';
import { parseDurationMs } from '@poolmeter/service';

/** What `poolmeter up` was asked for, checked. */
export interface UpOptions {
  readonly dataDir: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly demo: boolean;
  readonly scrape: readonly string[];
  readonly kernelLogs: readonly string[];
  readonly scrapeIntervalMs: number;
  readonly kafka: readonly string[] | undefined;
  readonly clickhouse: string | undefined;
  readonly postgres: string | undefined;
  readonly poolsFile: string | undefined;
  readonly logLevel: string;
}

/** The flags as they come from the command line. */
export interface UpFlags {
  readonly dataDir: string;
  readonly host: string;
  readonly port: string;
  /** undefined when neither --demo nor --no-demo was given. */
  readonly demo?: boolean;
  readonly scrape: readonly string[];
  readonly kernelLog: readonly string[];
  readonly scrapeInterval: string;
  readonly kafka?: string;
  readonly clickhouse?: string;
  readonly postgres?: string;
  readonly pools?: string;
  readonly logLevel: string;
}

const LEAST_INTERVAL_MS = 100;

/** Checks all flags and reports every fault at once. */
export function upOptions(flags: UpFlags): UpOptions {
  const faults: string[] = [];
  const port = wholePort(flags.port, faults);
  const scrapeIntervalMs = interval(flags.scrapeInterval, faults);
  for (const url of flags.scrape) httpAddress('--scrape', withoutName(url), faults);
  if (flags.clickhouse !== undefined) httpAddress('--clickhouse', flags.clickhouse, faults);
  if (flags.postgres !== undefined && !/^postgres(ql)?:\/\//.test(flags.postgres)) {
    faults.push(`--postgres must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, not "${flags.postgres}"`);
  }
  const kafka = flags.kafka?.split(',').map((one) => one.trim());
  for (const broker of kafka ?? []) {
    if (!/^[^\s:/]+:\d{1,5}$/.test(broker)) faults.push(`--kafka must list HOST:PORT, not "${broker}"`);
  }
  const real = flags.scrape.length > 0 || flags.kernelLog.length > 0;
  if (flags.demo === true && real) faults.push('--demo and --scrape/--kernel-log exclude one another');
  if (faults.length > 0) {
    throw new PoolmeterError('config.invalid', `Wrong options: ${faults.join('; ')}.`, {
      details: { faults },
    });
  }
  return {
    dataDir: flags.dataDir,
    host: flags.host,
    port,
    demo: flags.demo ?? !real,
    scrape: flags.scrape,
    kernelLogs: flags.kernelLog,
    scrapeIntervalMs,
    kafka,
    clickhouse: flags.clickhouse,
    postgres: flags.postgres,
    poolsFile: flags.pools,
    logLevel: flags.logLevel,
  };
}

function wholePort(text: string, faults: string[]): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= 0 && port <= 65_535) return port;
  faults.push(`--port must be 0 to 65535, not "${text}"`);
  return 0;
}

function interval(text: string, faults: string[]): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= LEAST_INTERVAL_MS) return ms;
  faults.push(`--scrape-interval must be a duration of 100ms or more, such as 10s, not "${text}"`);
  return LEAST_INTERVAL_MS;
}

function httpAddress(flag: string, text: string, faults: string[]): void {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return;
  faults.push(`${flag} must be an http(s) address, not "${text}"`);
}

/** `NODE=http://…` names the node that an exporter speaks for. */
function withoutName(text: string): string {
  return text.replace(/^[A-Za-z0-9][A-Za-z0-9._-]*=(?=https?:)/, '');
}
