/** The page at `/`: static files, served from memory. It shows nothing by itself; its data comes from `/v1`. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { ApiEnv } from '@poolmeter/http-api';
import { Hono } from 'hono';

export interface ConsoleRoutesOptions {
  /** Where the page's compiled modules are; the package's own when absent. */
  readonly moduleDirectory?: URL;
}

interface StaticFile {
  readonly contentType: string;
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
  readonly etag: string;
}

const PUBLIC = new URL('../public/', import.meta.url);
const MODULES = new URL('../page/dist/', import.meta.url);

/** `GET /` and the files that it needs under `/console/`. Throws when the page was not built. */
export function consoleRoutes(options: ConsoleRoutesOptions = {}): Hono<ApiEnv> {
  const files = readFiles(options.moduleDirectory ?? MODULES);
  const routes = new Hono<ApiEnv>();
  const answer = (name: string, request: Request): Response => {
    const file = files.get(name);
    if (file === undefined) throw new PoolmeterError('not_found', `The console has no file ${name}.`);
    return respond(file, request);
  };
  routes.get('/', (c) => answer('index.html', c.req.raw));
  routes.get('/console/:file', (c) => answer(c.req.param('file'), c.req.raw));
  return routes;
}

function readFiles(modules: URL): Map<string, StaticFile> {
  const uplot = new URL('./', pathToFileURL(createRequire(import.meta.url).resolve('uplot')));
  const files = new Map<string, StaticFile>();
  const add = (name: string, url: URL, contentType: string) =>
    files.set(name, staticFile(readFileSync(url), contentType));
  try {
    add('index.html', new URL('index.html', PUBLIC), 'text/html; charset=utf-8');
    add('console.css', new URL('console.css', PUBLIC), 'text/css; charset=utf-8');
    add('uplot.css', new URL('uPlot.min.css', uplot), 'text/css; charset=utf-8');
    add('uplot.js', new URL('uPlot.iife.min.js', uplot), 'text/javascript; charset=utf-8');
    for (const name of readdirSync(modules).filter((one) => /^[a-z0-9-]+\.js$/.test(one))) {
      add(name, new URL(name, modules), 'text/javascript; charset=utf-8');
    }
    if (!files.has('main.js')) throw new Error(`${modules.pathname} holds no main.js`);
  } catch (cause) {
    throw new PoolmeterError(
      'config.invalid',
      `The console's page is not built (${messageOf(cause)}): run npm run build.`,
      { cause },
    );
  }
  return files;
}

function staticFile(bytes: Buffer, contentType: string): StaticFile {
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { contentType, bytes, gzipped: gzipSync(bytes, { level: 9 }), etag };
}

function respond(file: StaticFile, request: Request): Response {
  // Files keep their names from one version to the next, so a browser asks each time and mostly gets 304.
  const headers = new Headers({
    'content-type': file.contentType,
    'cache-control': 'no-cache',
    etag: file.etag,
    vary: 'accept-encoding',
  });
  if (request.headers.get('if-none-match') === file.etag) return new Response(null, { status: 304, headers });
  if (!/\bgzip\b/.test(request.headers.get('accept-encoding') ?? '')) {
    return new Response(new Uint8Array(file.bytes), { headers });
  }
  headers.set('content-encoding', 'gzip');
  return new Response(new Uint8Array(file.gzipped), { headers });
}
