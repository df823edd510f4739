import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { instantFromMs, ManualClock } from '@poolmeter/domain';
import { createApi } from '@poolmeter/http-api';
import { createLogger } from '@poolmeter/service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consoleRoutes } from './console-routes.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-page-'));
  await writeFile(join(folder, 'main.js'), 'export {};');
  await writeFile(join(folder, 'main.test.js'), 'secret');
});
afterAll(() => rm(folder, { recursive: true }));

function openConsole() {
  const api = createApi({
    logger: createLogger({ service: 'test', level: 'silent' }),
    clock: new ManualClock(instantFromMs(0)),
    tokens: { verify: () => Promise.resolve(undefined) },
  });
  api.route('/', consoleRoutes({ moduleDirectory: pathToFileURL(`${folder}/`) }));
  return api;
}

describe('the page', () => {
  it('needs no sign-in, runs no inline script and loads nothing from elsewhere', async () => {
    const response = await openConsole().request('/');
    const html = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(html).not.toMatch(/<script(?![^>]*src=)/);
    const addresses = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address);
    expect(addresses.filter((address) => /^(?:https?:)?\/\//.test(address ?? ''))).toEqual([]);
  });

  it('has every file that it names', async () => {
    const api = openConsole();
    const html = await (await api.request('/')).text();
    const files = [...html.matchAll(/"(\/console\/[^"]+)"/g)].map(([, path]) => path ?? '');
    expect(files).toContain('/console/uplot.js');
    for (const file of files) expect([file, (await api.request(file)).status]).toEqual([file, 200]);
  });

  it('is sent compressed, and not again while it is unchanged', async () => {
    const api = openConsole();
    const first = await api.request('/console/uplot.js', { headers: { 'accept-encoding': 'gzip' } });
    expect(first.headers.get('content-encoding')).toBe('gzip');
    expect(gunzipSync(Buffer.from(await first.arrayBuffer())).toString()).toContain('uPlot');
    const etag = first.headers.get('etag') ?? '';
    const again = await api.request('/console/uplot.js', { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
  });

  it.each(['/console/main.test.js', '/console/..%2Fpackage.json', '/console/none.js'])(
    'hides %s',
    async (path) => {
      expect((await openConsole().request(path)).status).toBe(404);
    },
  );

  it('says what to do when it was not built', () => {
    expect(() => consoleRoutes({ moduleDirectory: pathToFileURL(`${folder}/none/`) })).toThrow(
      /npm run build/,
    );
  });
});
