/** From a line in a kernel log file to the incident that the API gives: `poolmeter up` as people run it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readEndpoint } from 'poolmeter';
import type { Figures } from '../bench.js';

const COMMAND = fileURLToPath(new URL('../../../cli/bin/poolmeter.mjs', import.meta.url));
const LINES = 40;
const POLL_MS = 50;
const GIVE_UP_MS = 30_000;

export async function measureIncidentDelay(): Promise<Figures> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-delay-'));
  const kernelLog = join(directory, 'kernel.log');
  await writeFile(kernelLog, '');
  const dataDir = join(directory, 'data');
  const args = [
    'up',
    '--data-dir',
    dataDir,
    '--port',
    '0',
    '--no-demo',
    '--kernel-log',
    `gpu-1=${kernelLog}`,
  ];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('poolmeter is ready at ')) break;
    }
    const endpoint = await readEndpoint(dataDir);
    if (endpoint === undefined) throw new Error('poolmeter ended before it was ready.');
    const delays: number[] = [];
    for (let index = 0; index < LINES; index += 1)
      delays.push(await delayOf(index, { kernelLog, ...endpoint }));
    delays.sort((a, b) => a - b);
    return {
      p50_incident_ms: delays[Math.floor(LINES * 0.5)] ?? Number.NaN,
      p99_incident_ms: delays[Math.ceil(LINES * 0.99) - 1] ?? Number.NaN,
    };
  } finally {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    await rm(directory, { recursive: true, force: true });
  }
}

async function delayOf(
  index: number,
  to: { readonly kernelLog: string; readonly url: string; readonly token: string },
): Promise<number> {
  const slot = (index + 16).toString(16).padStart(2, '0');
  await pause(200 + ((index * 373) % 900));
  const from = performance.now();
  const stamp = new Date().toISOString().replace('.', ',').replace('Z', '000+00:00');
  await appendFile(
    to.kernelLog,
    `${stamp} NVRM: Xid (PCI:0000:${slot}:00): 94, pid=1, name=x, Contained: SM (0x1). RST: No, D-RST: No\n`,
  );
  for (;;) {
    const answer = await fetch(`${to.url.replace(/\/$/, '')}/v1/incidents?code=xid-94&limit=1000`, {
      headers: { authorization: `Bearer ${to.token}` },
    });
    const { data } = (await answer.json()) as { data: unknown[] };
    if (data.length > index) return performance.now() - from;
    if (performance.now() - from > GIVE_UP_MS) throw new Error(`No incident came of line ${index}.`);
    await pause(POLL_MS);
  }
}
