/** What goes wrong on the way is told in one sentence, costs only itself, and loses nothing. */
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { askClickHouse } from './ask-clickhouse.js';
import { startExporterStandIn, type ExporterStandIn } from './exporter-stand-in.js';
import { COMMAND, newFolder, startUp, type Outcome, type RunningUp } from './running-up.js';

const END_LIMIT_MS = 60_000;

/** Runs a command that must end by itself; one that hangs is killed and shows as code -1. */
function ended(args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [COMMAND, ...args],
      { cwd, env: { PATH: process.env['PATH'], ...env }, timeout: END_LIMIT_MS, killSignal: 'SIGKILL' },
      (fault, stdout, stderr) => {
        const code = fault === null ? 0 : typeof fault.code === 'number' ? fault.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** One sentence on stderr, nothing on stdout, no stack trace. */
function expectSentence(outcome: Outcome, code: number, ...parts: readonly (string | RegExp)[]): void {
  expect(outcome).toMatchObject({ code, stdout: '' });
  expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(outcome.stderr).not.toMatch(/^\s+at /m);
  for (const part of parts) expect(outcome.stderr).toMatch(part);
}

const gauge = (uuid: string, metric: string, value: string) =>
  `${metric}{gpu="0",UUID="${uuid}",device="nvidia0",modelName="NVIDIA L4",Hostname="h"} ${value}`;
const goodLines = (uuid: string) => [
  gauge(uuid, 'DCGM_FI_DEV_GPU_TEMP', '41'),
  gauge(uuid, 'DCGM_FI_DEV_POWER_USAGE', '52.5'),
];
const BODIES: Readonly<Record<string, readonly string[]>> = {
  '/good/metrics': goodLines('GPU-good'),
  '/garbage/metrics': [
    'this is no metric',
    ...goodLines('GPU-among-garbage'),
    'DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-among-garbage"',
    '<html>',
    gauge('GPU-among-garbage', 'DCGM_FI_DEV_MEM_CLOCK', 'fast'),
  ],
};

interface Gpu {
  readonly gpu_uuid: string;
  readonly node: string;
  readonly latest: Readonly<Record<string, number | string | null>>;
}

describe('exporters that misbehave', () => {
  let exporters: ExporterStandIn;
  let up: RunningUp;

  beforeAll(async () => {
    exporters = await startExporterStandIn((request, response) => {
      const body = BODIES[request.url ?? ''];
      if (body !== undefined) response.end(`${body.join('\n')}\n`);
      else if (request.url === '/broken/metrics') response.writeHead(500).end('out of order');
      // Every other path is never answered.
    });
    const scrapes = ['good', 'garbage', 'broken', 'silent'].flatMap((name) => [
      '--scrape',
      `${name}=${exporters.url}/${name}/metrics`,
    ]);
    up = await startUp(['--scrape-interval', '1s', ...scrapes]);
  }, 90_000);

  afterAll(async () => {
    await up.stop();
    await exporters.stop();
  }, 30_000);

  const gpus = async () =>
    Object.fromEntries((await up.get<{ data: Gpu[] }>('/v1/gpus')).data.map((one) => [one.gpu_uuid, one]));

  it('a broken and a silent one are said to be down, with the reason; one with bad lines is said to be partial', async () => {
    const events = () =>
      askClickHouse<{ node: string; kind: string; reason: string }>(
        up.endpoint,
        `SELECT node, kind, JSONExtractString(toString(detail), 'reason') AS reason FROM gpu_events
         WHERE kind IN ('source.down', 'source.partial') ORDER BY node`,
      );
    await expect.poll(events, { timeout: 45_000, interval: 500 }).toEqual([
      { node: 'broken', kind: 'source.down', reason: 'http-status' },
      { node: 'garbage', kind: 'source.partial', reason: '' },
      { node: 'silent', kind: 'source.down', reason: 'timeout' },
    ]);
  }, 60_000);

  it('the good lines among garbage are kept; other exporters go on as if nothing were', async () => {
    await expect
      .poll(async () => Object.keys(await gpus()).sort())
      .toEqual(['GPU-among-garbage', 'GPU-good']);
    const { 'GPU-good': good, 'GPU-among-garbage': among } = await gpus();
    expect(good).toMatchObject({ node: 'good', latest: { temperature_celsius: 41, power_watts: 52.5 } });
    expect(among).toMatchObject({
      node: 'garbage',
      latest: { temperature_celsius: 41, power_watts: 52.5, sm_clock_mhz: null, memory_clock_mhz: null },
    });
    const before = good?.latest['ts'];
    await expect
      .poll(async () => (await gpus())['GPU-good']?.latest['ts'], { timeout: 10_000 })
      .not.toBe(before);
  });

  it('counts what went wrong in /metrics', async () => {
    const text = await (await fetch(new URL('/metrics', up.endpoint.url))).text();
    for (const outcome of ['ok', 'partial', 'http-status', 'timeout'])
      expect(text).toMatch(new RegExp(`poolmeter_collector_scrapes_total\\{outcome="${outcome}"\\} [1-9]`));
    expect(text).toMatch(/poolmeter_collector_bad_lines_total\{reason="[a-z-]+"\} [1-9]/);
  });
});

describe('a data folder that is in use', () => {
  let up: RunningUp;
  beforeAll(async () => {
    up = await startUp(['--no-demo']);
  }, 90_000);
  afterAll(async () => {
    await up.stop();
  }, 30_000);

  it('a second up is refused with the pid of the first, which goes on', async () => {
    const second = await ended(['up', '--no-demo', '--data-dir', 'data', '--port', '0'], up.dataDir);
    expectSentence(second, 2, `pid ${String(up.process.pid)}`, '--data-dir');
    expect(await up.get('/v1/gpus')).toMatchObject({ data: [] });
  });

  it('a damaged endpoint.json is named to clients and mended by the next start', async () => {
    const path = join(up.dataDir, 'data', 'endpoint.json');
    await writeFile(path, '{"url":');
    expectSentence(
      await ended(['gpus', 'list', '--data-dir', 'data'], up.dataDir),
      3,
      'endpoint.json is damaged',
      'poolmeter up',
    );
    expect(await up.terminate()).toBe(0);
    up = await startUp(['--no-demo'], up.dataDir);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ pid: up.process.pid });
    expect(JSON.parse(await up.poolmeter('gpus', 'list', '--json'))).toMatchObject({ data: [] });
  }, 60_000);
});

describe('a start that cannot succeed says why and ends', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await newFolder();
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const start = (...flags: readonly string[]) =>
    ended(['up', '--no-demo', '--port', '0', '--data-dir', 'data', ...flags], folder);

  it('port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expectSentence(await start('--port', String(port)), 2, `127.0.0.1:${port}`, '--port');
    other.close();
  }, 90_000);

  it('several wrong flags: all of them are named', async () => {
    const wrong = [
      '--port',
      '99999',
      '--scrape-interval',
      '5',
      '--scrape',
      'ftp://x',
      '--postgres',
      'mysql://y',
    ];
    expectSentence(await start(...wrong), 2, '99999', /--scrape-interval .*"5"/, 'ftp://x', 'mysql://y');
  });

  it('wrong settings of a role: all of them are named', async () => {
    const outcome = await ended(['pipeline'], folder, {
      POOLMETER_PIPELINE_CLICKHOUSE_URL: 'nowhere',
      POOLMETER_PIPELINE_OPS_PORT: '777777',
      POOLMETER_PIPELINE_FLUSH_INTERVAL: '10',
      POOLMETER_PIPELINE_COLOUR: 'red',
    });
    const names = ['CLICKHOUSE_URL', 'OPS_PORT', 'FLUSH_INTERVAL', 'COLOUR'];
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    for (const name of names) expect(outcome.stderr).toContain(`POOLMETER_PIPELINE_${name} `);
    expect(outcome.stderr).not.toMatch(/^\s+at /m);
  });

  describe.skipIf(!mayMount())('on a file system of its own', () => {
    let mounted: string;
    beforeEach(async () => {
      mounted = join(folder, 'mounted');
      await mkdir(mounted);
    });
    afterEach(() => {
      execFileSync('umount', [mounted]);
    });
    const mount = (options: string) =>
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mounted]);
    const startThere = () => start('--data-dir', join(mounted, 'data'));

    it('read only', async () => {
      mount('size=64m,ro');
      expectSentence(await startThere(), 3, join(mounted, 'data'), 'cannot be written', '--data-dir');
    });

    it.each(['8k', '8m', '24m', '60m'])(
      'full after %s',
      async (size) => {
        mount(`size=${size}`);
        expectSentence(await startThere(), 3, mounted, 'full', /free some space/);
      },
      90_000,
    );
  });
});

/** Mounting needs root and a kernel that allows it: in many containers it does not. */
function mayMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'pipe' });
    return true;
  } catch (fault) {
    console.log(`Skipped: a full or read-only file system cannot be mounted here: ${String(fault)}.`);
    return false;
  }
}
