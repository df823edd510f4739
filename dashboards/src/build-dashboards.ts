/** The generated files: built, written, and compared with those that are checked in. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { loadBoards } from './load-boards.js';
import { boardsProvisioning, dataSourceProvisioning } from './provisioning.js';

export interface GeneratedFile {
  /** Relative to the dashboards folder, with `/`. */
  readonly path: string;
  readonly text: string;
}

export interface FileMismatch {
  readonly file: string;
  readonly reason: string;
}

const BOARDS_FOLDER = 'generated';

/** Every generated file; touches nothing. */
export function buildDashboards(): readonly GeneratedFile[] {
  const boards = loadBoards().map((board) => ({
    path: `${BOARDS_FOLDER}/${board.uid.replace(/^poolmeter-/, '')}.json`,
    text: `${JSON.stringify(board, null, 2)}\n`,
  }));
  return [
    ...boards,
    { path: 'provisioning/datasources/poolmeter.yaml', text: dataSourceProvisioning() },
    { path: 'provisioning/dashboards/poolmeter.yaml', text: boardsProvisioning() },
  ];
}

/** Writes the files below `directory`, the dashboards folder, and says which ones. */
export async function writeDashboards(directory: string): Promise<string[]> {
  const written: string[] = [];
  for (const { path, text } of buildDashboards()) {
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
    written.push(target);
  }
  return written;
}

/** Files below `directory` that are missing, differ from what would be written, or belong to no board. */
export async function checkDashboards(directory: string): Promise<FileMismatch[]> {
  const expected = buildDashboards();
  const found = await Promise.all(expected.map((file) => compare(directory, file)));
  const known = new Set(expected.map(({ path }) => path));
  const stray = (await namesIn(join(directory, BOARDS_FOLDER)))
    .map((name) => `${BOARDS_FOLDER}/${name}`)
    .filter((path) => !known.has(path))
    .map((file) => ({ file, reason: 'belongs to no board' }));
  return [...found.flat(), ...stray];
}

async function compare(directory: string, { path, text }: GeneratedFile): Promise<FileMismatch[]> {
  const onDisk = await orWhenMissing(readFile(join(directory, path), 'utf8'), undefined);
  if (onDisk === undefined) return [{ file: path, reason: 'is missing' }];
  if (onDisk === text) return [];
  return [{ file: path, reason: `differs in line ${firstDifference(onDisk, text)}` }];
}

function firstDifference(left: string, right: string): number {
  const others = right.split('\n');
  const lines = left.split('\n');
  const index = lines.findIndex((line, at) => line !== others[at]);
  return (index === -1 ? lines.length : index) + 1;
}

function namesIn(directory: string): Promise<string[]> {
  return orWhenMissing(readdir(directory), []);
}

async function orWhenMissing<T, F>(reading: Promise<T>, fallback: F): Promise<T | F> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return fallback;
    throw error;
  }
}
