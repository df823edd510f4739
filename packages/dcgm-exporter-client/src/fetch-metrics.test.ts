import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { fetchMetrics, MetricsFetchError, type FetchMetricsOptions } from './fetch-metrics.js';

const servers: Server[] = [];

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
}

async function faultOf(url: string, options: FetchMetricsOptions = {}): Promise<MetricsFetchError> {
  const fault: unknown = await fetchMetrics(url, options).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(fault).toBeInstanceOf(MetricsFetchError);
  return fault as MetricsFetchError;
}

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

describe('fetchMetrics', () => {
  it('gives the whole text', async () => {
    const url = await serve((_request, response) => response.end('DCGM_FI_DEV_GPU_TEMP{gpu="0"} 61 °\n'));
    expect(await fetchMetrics(url)).toBe('DCGM_FI_DEV_GPU_TEMP{gpu="0"} 61 °\n');
  });

  it('names the status of a failed scrape', async () => {
    const url = await serve((_request, response) => response.writeHead(500).end('collector failed'));
    expect(await faultOf(url)).toMatchObject({ reason: 'http-status', status: 500 });
  });

  it('gives up on an exporter that never answers', async () => {
    const url = await serve(() => undefined);
    const fault = await faultOf(url, { timeoutMs: 60 });
    expect(fault.reason).toBe('timeout');
    expect(fault.message).toContain('60 ms');
  });

  it('gives up on an exporter that stops in the middle', async () => {
    const url = await serve((_request, response) => {
      response.write('DCGM_FI_');
    });
    expect((await faultOf(url, { timeoutMs: 60 })).reason).toBe('timeout');
  });

  it('does not take a body that broke off for a whole one', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('DCGM_FI_DEV_GPU_TEMP{gpu="0"} 6');
      setTimeout(() => response.destroy(), 10);
    });
    expect((await faultOf(url)).reason).toBe('network');
  });

  it('stops reading at the limit', async () => {
    const url = await serve((_request, response) => response.end('x'.repeat(10_000)));
    expect((await faultOf(url, { maxBytes: 9_999 })).reason).toBe('too-large');
    expect(await fetchMetrics(url, { maxBytes: 10_000 })).toHaveLength(10_000);
  });

  it('says that nothing listens', async () => {
    const url = await serve((_request, response) => response.end());
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect((await faultOf(url)).reason).toBe('refused');
  });

  it('is called off by its caller', async () => {
    const url = await serve(() => undefined);
    const caller = new AbortController();
    setTimeout(() => caller.abort(new Error('stopping')), 20);
    expect((await faultOf(url, { signal: caller.signal })).reason).toBe('aborted');
  });
});
