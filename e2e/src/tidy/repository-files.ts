/** The files of this repository that people wrote: what git would put into a commit now, or has in one already. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url));

/** Paths relative to the root, with forward slashes. Files that git ignores are absent. */
export function repositoryFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  // A file that was deleted but not yet committed is still listed.
  return listed.split('\0').filter((path) => path !== '' && existsSync(repositoryRoot + path));
}

export function textOf(path: string): string {
  return readFileSync(repositoryRoot + path, 'utf8');
}

/** The folders that are npm workspaces. */
export function workspaceFolders(): string[] {
  return repositoryFiles()
    .filter((path) => /^(packages\/)?[^/]+\/package\.json$/.test(path))
    .map((path) => path.slice(0, path.lastIndexOf('/')));
}
