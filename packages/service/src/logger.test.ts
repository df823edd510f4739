import { context, ROOT_CONTEXT, trace, type Context, type ContextManager } from '@opentelemetry/api';
import { PoolmeterError } from '@poolmeter/domain';
import { afterEach, describe, expect, it } from 'vitest';
import { createLogger } from './logger.js';

function logged(level?: string) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({
    service: 'collector',
    destination,
    ...(level === undefined ? {} : { level }),
  });
  return { logger, lines, entries: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('a log line', () => {
  it('is JSON with role, level, time and sentence', () => {
    const { logger, entries } = logged();
    logger.info({ node: 'gpu-1' }, 'Scraped.');
    expect(entries()).toEqual([
      {
        level: 'info',
        time: expect.any(String) as string,
        service: 'collector',
        pid: process.pid,
        node: 'gpu-1',
        msg: 'Scraped.',
      },
    ]);
    expect(new Date(entries()[0]!['time'] as string).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  it('is left out below the level', () => {
    const { logger, lines } = logged('warn');
    logger.info('quiet');
    logger.warn('loud');
    expect(lines).toHaveLength(1);
  });

  it('shows code and details of an error', () => {
    const { logger, entries } = logged();
    logger.error(
      { err: new PoolmeterError('storage.full', 'Free some space.', { details: { path: '/data' } }) },
      'x',
    );
    expect(entries()[0]?.['err']).toMatchObject({
      code: 'storage.full',
      message: 'Free some space.',
      details: { path: '/data' },
    });
  });
});

const TOKEN = 'pm_abcdefghijklmnopqrstuvwxyz0123456789';

describe('secrets', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['a token field', { token: 'hush-hush' }, 'hush-hush'],
    ['a nested password', { postgres: { password: 'hush-hush' } }, 'hush-hush'],
    ['a header, two levels down', { req: { headers: { authorization: 'hush-hush' } } }, 'hush-hush'],
    ['a list of cookies', { headers: { 'set-cookie': ['hush-hush'] } }, 'hush-hush'],
    ['an API token anywhere', { a: { b: { c: { d: { note: TOKEN } } } } }, TOKEN],
    [
      'a bearer header in a sentence',
      { note: 'sent Authorization: Bearer abc.def.ghi-jkl' },
      'abc.def.ghi-jkl',
    ],
    ['a password in an address', { url: 'postgres://poolmeter:hush-hush@db:5432/x' }, 'hush-hush'],
    ["a driver's message", { err: new Error('connect postgres://u:hush-hush@db failed') }, 'hush-hush'],
  ])('%s are cut out', (_name, fields, secret) => {
    const { logger, lines, entries } = logged();
    logger.info(fields, 'x');
    expect(lines.join('')).not.toContain(secret);
    expect(lines.join('')).toContain('[redacted]');
    expect(entries()).toHaveLength(1);
  });

  it('are cut out of child loggers and sentences too, and the rest stays', () => {
    const { logger, lines } = logged();
    logger.child({ token: 'hush-hush' }).info(`Signed in with ${TOKEN} on gpu-1.`);
    expect(lines[0]).not.toMatch(/hush-hush|abcdefgh/);
    expect(lines[0]).toContain('on gpu-1.');
  });
});

/** The smallest context manager: what is set stays the active context until it is cleared. */
class OneContext implements ContextManager {
  #active = ROOT_CONTEXT;
  active = (): Context => this.#active;
  with: ContextManager['with'] = (active, run, thisArg, ...args) => {
    this.#active = active;
    return run.call(thisArg as never, ...args);
  };
  bind = <T>(_context: Context, target: T): T => target;
  enable = (): this => this;
  disable = (): this => this;
}

describe('with an active span', () => {
  afterEach(() => {
    context.disable();
  });

  it('a line carries the trace id', () => {
    context.setGlobalContextManager(new OneContext());
    const span = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };
    const { logger, entries } = logged();
    context.with(trace.setSpanContext(ROOT_CONTEXT, span), () => {
      logger.info('x');
    });
    expect(entries()[0]).toMatchObject({ trace_id: span.traceId, span_id: span.spanId });
  });
});
