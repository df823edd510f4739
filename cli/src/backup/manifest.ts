/** `manifest.json` of a backup: what it holds and what it was taken of, with a digest over itself. */
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';

const FORMAT = 1;
const FILE_NAME = 'manifest.json';

/** 64-bit numbers travel as text. */
const wide = z.string().regex(/^\d+$/).transform(BigInt);

const fileSchema = z.object({ name: z.string(), bytes: z.int(), sha256: z.string().length(64) });

const positionSchema = z.object({
  group: z.string(),
  topic: z.string(),
  partition: z.int(),
  next_offset: wide,
});

const bodySchema = z.object({
  format: z.literal(FORMAT),
  product_version: z.string(),
  started_at: z.iso.datetime(),
  finished_at: z.iso.datetime(),
  clickhouse: z.object({
    migrations: z.array(z.object({ name: z.string(), checksum: z.string() })),
    taken_at: z.iso.datetime(),
    /** False when an insert was under way while the tables were cloned: a rollup may be one insert ahead. */
    settled: z.boolean(),
    tables: z.array(
      z.object({
        table: z.string(),
        columns: z.array(z.string()),
        rows: wide,
        digest: wide,
        files: z.array(z.string()),
      }),
    ),
  }),
  postgres: z.object({
    migrations: z.array(z.object({ set: z.string(), file: z.string(), checksum: z.string() })),
    tables: z.array(
      z.object({
        table: z.string(),
        columns: z.array(z.string()),
        rows: wide,
        digest: z.string(),
        file: z.string(),
      }),
    ),
    sequences: z.array(z.object({ name: z.string(), value: wide })),
  }),
  /** Where consumers stood; null when no bus was named. */
  bus: z
    .object({
      /** Everything before these is in the backup. */
      positions_before: z.array(positionSchema),
      /** Nothing from these on is in the backup. */
      positions_after: z.array(positionSchema),
    })
    .nullable(),
  files: z.array(fileSchema),
});

export type Manifest = z.output<typeof bodySchema>;
export type ManifestFile = z.output<typeof fileSchema>;

/** Written last: a folder without it is no backup. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const body = JSON.stringify(manifest, bigintAsText);
  const text = JSON.stringify({ sha256: digestOf(body), ...(JSON.parse(body) as object) }, undefined, 2);
  const path = join(folder, FILE_NAME);
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, FILE_NAME);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PoolmeterError(
      'input.invalid',
      `${folder} holds no backup: ${path} is missing. A backup that was cut off has none; take another one.`,
      { cause },
    );
  });
  const { sha256, ...body } = parsed(path, text);
  if (sha256 !== digestOf(JSON.stringify(body))) throw damaged(path);
  if (body['format'] !== FORMAT) {
    throw new PoolmeterError(
      'precondition_failed',
      `${path} is of another format than this poolmeter reads: restore it with poolmeter ${String(body['product_version'])}.`,
    );
  }
  const result = bodySchema.safeParse(body);
  if (!result.success) throw damaged(path);
  return result.data;
}

function parsed(path: string, text: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    throw damaged(path);
  }
}

function damaged(path: string): PoolmeterError {
  return new PoolmeterError('storage.corrupt', `${path} is damaged: restore from another backup.`, {
    details: { path },
  });
}

function digestOf(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
