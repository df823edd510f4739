import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { serveAnswers, type ApiStandIn } from './api-stand-in.js';

const COMMAND = fileURLToPath(new URL('../bin/poolmeter.mjs', import.meta.url));

let api: ApiStandIn;

afterEach(() => api.close());

describe('the built command', () => {
  it('leaves without a word when its reader has read enough', async () => {
    const rows = Array.from({ length: 1_000 }, (_, index) => ({
      gpu_uuid: `GPU-${index}`,
      node: 'x'.repeat(2_000),
    }));
    api = await serveAnswers({ 'GET /v1/gpus': { body: { data: rows, next_cursor: null } } });
    const child = start(['gpus', 'list', '--limit', '1000', '--json']);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect(await endOf(child)).toEqual({ exitCode: 0, stderr: '' });
  });

  it('leaves with the exit code, and everything it said has arrived', async () => {
    api = await serveAnswers({});
    const child = start(['gpus', 'show', 'x']);
    expect(await endOf(child)).toEqual({
      exitCode: 2,
      stderr: 'There is nothing at /v1/gpus/x; /docs lists what is.\n',
    });
  });
});

function start(args: readonly string[]) {
  return spawn(process.execPath, [COMMAND, ...args], {
    env: { POOLMETER_URL: api.url, POOLMETER_TOKEN: 'pm_test' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function endOf(child: ReturnType<typeof start>): Promise<{ exitCode: number | null; stderr: string }> {
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, stderr };
}
