import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FollowFile, type FilePosition } from './follow-file.js';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poolmeter-follow-'));
  path = join(directory, 'kern.log');
});

afterEach(() => rm(directory, { recursive: true, force: true }));

/** Reads until there is nothing more, and closes unless told otherwise. */
async function readAll(file: FollowFile): Promise<{ lines: string[]; position: FilePosition | undefined }> {
  const lines: string[] = [];
  let position: FilePosition | undefined;
  for (let found = await file.read(); found !== undefined; found = await file.read()) {
    lines.push(...found.lines);
    position = found.position;
  }
  return { lines, position };
}

describe('a log that grows', () => {
  it('gives each whole line once; a last line without its end waits for it', async () => {
    const file = new FollowFile({ path });
    await writeFile(path, 'one\ntwo\nthr');
    expect((await readAll(file)).lines).toEqual(['one', 'two']);
    await appendFile(path, 'ee\n\r\nfour\r\n');
    expect((await readAll(file)).lines).toEqual(['three', 'four']);
    expect((await readAll(file)).lines).toEqual([]);
    await file.close();
  });

  it('may not exist yet', async () => {
    const file = new FollowFile({ path });
    expect(await file.read()).toBeUndefined();
    expect(file.isOpen).toBe(false);
    await writeFile(path, 'one\n');
    expect((await readAll(file)).lines).toEqual(['one']);
    await file.close();
  });

  it('is read to its end when it is rotated, its unfinished line too, then the new one from its start', async () => {
    const file = new FollowFile({ path });
    await writeFile(path, 'one\n');
    await readAll(file);
    await appendFile(path, 'two\nunfinis');
    await rename(path, `${path}.1`);
    await writeFile(path, 'three\n');
    expect((await readAll(file)).lines).toEqual(['two', 'unfinis', 'three']);
    await file.close();
  });

  it('is read from its start when it is truncated', async () => {
    const file = new FollowFile({ path });
    await writeFile(path, 'one\ntwo\n');
    await readAll(file);
    await truncate(path, 0);
    await appendFile(path, 'new\n');
    expect((await readAll(file)).lines).toEqual(['new']);
    await file.close();
  });

  it('is read from its start when it was overwritten with more than it held', async () => {
    const file = new FollowFile({ path });
    await writeFile(path, 'one\n');
    await readAll(file);
    await writeFile(path, 'other\nlines\n');
    expect((await readAll(file)).lines).toEqual(['other', 'lines']);
    await file.close();
  });

  it('cuts a line that has no end', async () => {
    const file = new FollowFile({ path });
    await writeFile(path, 'x'.repeat(70_000));
    const found = await file.read();
    expect(found?.lines[0]).toHaveLength(65_536);
    expect(found?.more).toBe(true);
    await file.close();
  });
});

describe('after a restart', () => {
  const keep = async () => {
    await writeFile(path, 'one\ntwo\n');
    const file = new FollowFile({ path });
    const { position } = await readAll(file);
    await file.close();
    return JSON.parse(JSON.stringify(position)) as FilePosition;
  };
  const goOn = async (from: FilePosition) => {
    const file = new FollowFile({ path, from });
    const { lines } = await readAll(file);
    await file.close();
    return lines;
  };

  it('reading goes on where it stood', async () => {
    const from = await keep();
    await appendFile(path, 'three\n');
    expect(await goOn(from)).toEqual(['three']);
  });

  it('a file that was rotated meanwhile is finished first', async () => {
    const from = await keep();
    await appendFile(path, 'three\n');
    await rename(path, `${path}.1`);
    await writeFile(path, 'four\n');
    expect(await goOn(from)).toEqual(['three', 'four']);
  });

  it('a file that was written anew is read from its start', async () => {
    const from = await keep();
    await rm(path);
    await writeFile(path, 'uno\ndos\ntres\n');
    expect(await goOn(from)).toEqual(['uno', 'dos', 'tres']);
  });

  it('a file that was overwritten in place is read from its start', async () => {
    const from = await keep();
    await writeFile(path, 'uno\ndos\ntres\n');
    expect(await goOn(from)).toEqual(['uno', 'dos', 'tres']);
  });
});

describe('however it is written', () => {
  it('no line is lost or given twice', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('write'), pieces: fc.nat({ max: 3 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('rotate'), pieces: fc.constant(0) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart'), pieces: fc.constant(0) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('read'), pieces: fc.constant(0) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const own = join(directory, `log-${Math.random().toString(36).slice(2)}`);
        await writeFile(own, '');
        let file = new FollowFile({ path: own });
        let position: FilePosition | undefined;
        const written: string[] = [];
        const seen: string[] = [];
        const read = async () => {
          const found = await readAll(file);
          seen.push(...found.lines);
          position = found.position ?? position;
        };
        for (const { kind, pieces } of steps) {
          if (kind === 'write') {
            const lines = Array.from({ length: pieces + 1 }, (_, index) => `line ${written.length + index}`);
            written.push(...lines);
            await appendFile(own, lines.map((line) => `${line}\n`).join(''));
          } else if (kind === 'rotate') {
            // A reader that is more than one rotation behind cannot know: it reads before each.
            await read();
            await rename(own, `${own}.1`);
            await writeFile(own, '');
          } else if (kind === 'restart') {
            await read();
            await file.close();
            file = new FollowFile({ path: own, from: position });
          } else {
            await read();
          }
        }
        await read();
        await file.close();
        expect(seen).toEqual(written);
      }),
      { numRuns: 40 },
    );
  });
});
