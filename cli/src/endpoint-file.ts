/** `endpoint.json` in the data folder: where a running `poolmeter up` is and how to get in. Only its owner may read it. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';

const endpointSchema = z.object({
  url: z.url(),
  token: z.string().min(1),
  clickhouse: z.object({
    /** With user and password, so that any ClickHouse tool can use it as it is. */
    url: z.url(),
    database: z.string(),
    reader_url: z.url().optional(),
  }),
  postgres: z.string().min(1),
  pid: z.int().positive(),
});

export type Endpoint = z.infer<typeof endpointSchema>;

const FILE_NAME = 'endpoint.json';
const OWNER_ONLY = 0o600;

export async function writeEndpoint(dataDir: string, endpoint: Endpoint): Promise<void> {
  const path = join(dataDir, FILE_NAME);
  await writeFile(`${path}.new`, `${JSON.stringify(endpoint, null, 2)}\n`, { mode: OWNER_ONLY });
  await rename(`${path}.new`, path);
}

/** The endpoint, or undefined when there is no file; a file that cannot be understood is an error that says so. */
export async function readEndpoint(dataDir: string): Promise<Endpoint | undefined> {
  const path = join(dataDir, FILE_NAME);
  const text = await readFile(path, 'utf8').catch((fault: unknown) => {
    const { code, message } = fault as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new PoolmeterError('storage.corrupt', `${path} cannot be read (${code ?? message}).`, {
      cause: fault,
    });
  });
  if (text === undefined) return undefined;
  const parsed = endpointSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new PoolmeterError(
    'storage.corrupt',
    `${path} is damaged: restart "poolmeter up" on this folder to write it anew, or set POOLMETER_URL and POOLMETER_TOKEN.`,
    { details: { path, fault: parsed.error.issues[0]?.message } },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
