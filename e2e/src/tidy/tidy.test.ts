import { describe, expect, it } from 'vitest';
import { breachesOf, escapeHatches } from './tidy-rules.js';
import { repositoryFiles, textOf, workspaceFolders } from './repository-files.js';

/** How often each way around a check stands in the sources. May only go down: lower it when you removed one. */
const ALLOWED: Readonly<Record<string, number>> = {
  'eslint-disable': 1,
  'as unknown as': 12,
  '@ts-expect-error': 0,
  'as any': 0,
};

const files = repositoryFiles();
const isText = (path: string) => /\.(ts|mts|mjs|cjs|md|json|ya?ml|sql|npmrc)$/.test(path);

describe('the repository', () => {
  it('keeps the rules of STYLE.md that a program can check', () => {
    expect(files.length).toBeGreaterThan(100);
    expect(files.flatMap((path) => breachesOf(path, isText(path) ? textOf(path) : ''))).toEqual([]);
  });

  it('has a README in every workspace', () => {
    const folders = workspaceFolders();
    expect(folders).toContain('packages/domain');
    expect(folders.filter((folder) => !files.includes(`${folder}/README.md`))).toEqual([]);
  });

  it('has one index.ts in every workspace, at its root', () => {
    const indexes = files.filter((path) => path.endsWith('/index.ts'));
    expect(indexes.filter((path) => !/^(packages\/)?[^/]+\/src\/index\.ts$/.test(path))).toEqual([]);
  });

  it.each(Object.entries(escapeHatches))('does not have more of "%s" than before', (name, pattern) => {
    const sources = files.filter((path) => /\.(ts|mts)$/.test(path) && !path.startsWith('e2e/src/tidy/'));
    const places = sources.flatMap((path) => [...textOf(path).matchAll(pattern)].map(() => path));
    const allowed = ALLOWED[name] ?? 0;
    expect(places.length, places.join('\n')).toBeLessThanOrEqual(allowed);
  });
});
