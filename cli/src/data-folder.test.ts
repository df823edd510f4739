import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDataFolder } from './data-folder.js';

let path: string;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'poolmeter-folder-'));
});

afterEach(async () => {
  await chmod(path, 0o700);
  await rm(path, { recursive: true });
});

const lockIn = (folder: string) => join(folder, 'up.lock');

describe('openDataFolder', () => {
  it('refuses a second process with the pid of the first', async () => {
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      await writeFile(lockIn(path), JSON.stringify({ pid: other.pid, startedAt: '' }));
      await expect(openDataFolder(path)).rejects.toMatchObject({
        code: 'storage.locked',
        message: expect.stringContaining(`(pid ${String(other.pid)})`) as string,
        details: { pid: other.pid },
      });
      expect(JSON.parse(await readFile(lockIn(path), 'utf8'))).toMatchObject({ pid: other.pid });
    } finally {
      other.kill();
      await once(other, 'exit');
    }
    // The holder is gone now: its lock is taken over.
    const folder = await openDataFolder(path);
    expect(JSON.parse(await readFile(lockIn(path), 'utf8'))).toMatchObject({ pid: process.pid });
    await folder.release();
  });

  it('is refused to this process too while it holds it, and free after a release', async () => {
    const folder = await openDataFolder(path);
    await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'storage.locked' });
    await folder.release();
    await expect(access(lockIn(path))).rejects.toMatchObject({ code: 'ENOENT' });
    await (await openDataFolder(path)).release();
  });

  it.skipIf(process.platform !== 'linux')(
    'takes over from a pid that another process got meanwhile',
    async () => {
      await writeFile(lockIn(path), JSON.stringify({ pid: process.ppid, startedAt: '1' }));
      await (await openDataFolder(path)).release();
    },
  );

  it.each(['', '{', '{"pid":"x"}'])('takes over a lock that was half written: %j', async (text) => {
    await writeFile(lockIn(path), text);
    await (await openDataFolder(path)).release();
  });

  it('creates a folder that is missing, and refuses a file in its place', async () => {
    const folder = await openDataFolder(join(path, 'a', 'b'));
    expect(folder.of('c', 'd')).toBe(join(path, 'a', 'b', 'c', 'd'));
    await folder.release();
    await writeFile(join(path, 'file'), '');
    await expect(openDataFolder(join(path, 'file'))).rejects.toMatchObject({ code: 'input.invalid' });
  });

  it.skipIf(process.getuid?.() === 0)('says that a folder is read-only', async () => {
    await chmod(path, 0o500);
    await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'storage.read_only' });
  });
});
