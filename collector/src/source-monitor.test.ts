import { instantFromMs } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { agentEventIdentity } from './event-identity.js';
import { SourceMonitor, type ScrapeFailureReason, type SourceState } from './source-monitor.js';

const url = 'http://gpu-1:9400/metrics';

function monitorOf(state?: SourceState): SourceMonitor {
  return new SourceMonitor({
    url,
    pool: 'main',
    providerId: 'north',
    identity: agentEventIdentity('a', 1n),
    state,
  });
}

/** `ok`, `partial`, `started@S` (a good scrape that tells the process start) or the reason of a failure. */
function feed(monitor: SourceMonitor, scrapes: readonly string[]) {
  return scrapes.map((scrape, index) => {
    const at = instantFromMs(1_000_000 + index * 10_000);
    const [word = '', startedAt] = scrape.split('@');
    if (word === 'ok' || word === 'partial' || word === 'started') {
      return monitor.succeeded(at, 'gpu-1', {
        partialReasons: word === 'partial' ? ['GPU-1 lacks fields 150'] : [],
        exporterStartedAtS: startedAt === undefined ? undefined : Number(startedAt),
      });
    }
    return monitor.failed(at, 'gpu-1', {
      reason: word as ScrapeFailureReason,
      status: word === 'http-status' ? 500 : undefined,
      message: `${word}!`,
    });
  });
}

const kinds = (monitor: SourceMonitor, scrapes: readonly string[]) =>
  feed(monitor, scrapes).map((events) => events.map((one) => one.kind).join('+'));

describe('a source', () => {
  it.each<[string, string[], string[]]>([
    ['that fails twice is not down', ['ok', 'timeout', 'timeout', 'ok'], ['', '', '', '']],
    [
      'that fails three times is down once, and back',
      ['timeout', 'http-status', 'http-status', 'http-status', 'ok', 'ok'],
      ['', '', 'source.down', '', 'source.back', ''],
    ],
    [
      'that was closed and is open again was restarted',
      ['ok', 'refused', 'ok'],
      ['', '', 'exporter.restarted'],
    ],
    ['that only hung was not', ['ok', 'timeout', 'ok'], ['', '', '']],
    [
      'whose process started later was restarted',
      ['started@100', 'started@100.5', 'started@160', 'started@160'],
      ['', '', 'exporter.restarted', ''],
    ],
    [
      'whose process start is the same was not, though its port was closed',
      ['started@100', 'refused', 'started@100'],
      ['', '', ''],
    ],
    ['that is partial once is left alone', ['ok', 'partial', 'ok'], ['', '', '']],
    [
      'that is partial twice is said to be, until it is whole twice',
      ['partial', 'partial', 'partial', 'ok', 'partial', 'ok', 'ok', 'ok'],
      ['', 'source.partial', '', '', '', '', 'source.back', ''],
    ],
  ])('%s', (_case, scrapes, expected) => {
    expect(kinds(monitorOf(), scrapes)).toEqual(expected);
  });

  it('says why it is down and since when', () => {
    const events = feed(monitorOf(), ['timeout', 'timeout', 'http-status']).flat();
    expect(events).toMatchObject([
      {
        kind: 'source.down',
        node: 'gpu-1',
        gpuUuid: '',
        ts: 1_020_000,
        message: 'http-status!',
        detail: { url, reason: 'http-status', status: 500, failures: 3, first_failure_at_ms: 1_000_000 },
      },
    ]);
  });

  it('that was down before the agent restarted is back after it', () => {
    const before = monitorOf();
    feed(before, ['timeout', 'timeout', 'timeout']);
    const remembered = JSON.parse(JSON.stringify(before.state())) as SourceState;
    expect(kinds(monitorOf(remembered), ['timeout', 'ok'])).toEqual(['', 'source.back']);
  });
});
