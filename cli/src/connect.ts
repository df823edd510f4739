/** Which poolmeter a client command talks to. */
import { readFileSync } from 'node:fs';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { createApiClient, type ApiClient } from './api-client.js';
import { readEndpoint } from './endpoint-file.js';

type Environment = Readonly<Record<string, string | undefined>>;

export const DEFAULT_DATA_DIR = '.poolmeter';

/** `POOLMETER_URL` and `POOLMETER_TOKEN`, else what a running `poolmeter up` wrote into the data folder. */
export async function connect(env: Environment, dataDir: string): Promise<ApiClient> {
  return createApiClient(originOf(env) ?? (await originIn(dataDir)));
}

/** The address in the environment; undefined when there is none. */
export function originOf(env: Environment): { url: string; token: string } | undefined {
  const url = env['POOLMETER_URL'] ?? '';
  const token = tokenOf(env);
  if (url === '' && token === '') return undefined;
  if (url === '') {
    throw new PoolmeterError(
      'config.invalid',
      'POOLMETER_TOKEN is set and POOLMETER_URL is not: set both or neither.',
    );
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new PoolmeterError('config.invalid', `POOLMETER_URL must be an http(s) address, not "${url}".`);
  }
  if (token === '') {
    throw new PoolmeterError(
      'config.invalid',
      'POOLMETER_URL is set and POOLMETER_TOKEN is not: set both or neither.',
    );
  }
  return { url, token };
}

function tokenOf(env: Environment): string {
  const path = env['POOLMETER_TOKEN_FILE'] ?? '';
  const token = env['POOLMETER_TOKEN'] ?? '';
  if (path === '' || token !== '') return token;
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new PoolmeterError('config.invalid', `POOLMETER_TOKEN_FILE cannot be read: ${messageOf(cause)}.`, {
      cause,
    });
  }
}

async function originIn(dataDir: string): Promise<{ url: string; token: string }> {
  const endpoint = await readEndpoint(dataDir);
  if (endpoint !== undefined) return endpoint;
  throw new PoolmeterError(
    'dependency.unavailable',
    `No poolmeter runs in ${dataDir}: start one with "poolmeter up", name its folder with --data-dir, or set POOLMETER_URL and POOLMETER_TOKEN.`,
  );
}
