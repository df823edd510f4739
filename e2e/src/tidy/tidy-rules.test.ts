import { describe, expect, it } from 'vitest';
import { breachesOf } from './tidy-rules.js';

const planted: readonly (readonly [path: string, text: string, found: string])[] = [
  ['billing/src/utils/round.ts', '', 'utils'],
  ['billing/src/helpers.ts', '', 'helpers'],
  ['packages/domain/src/types.ts', '', 'types.ts'],
  ['alerts/src/FaultMonitor.ts', '', 'FaultMonitor.ts'],
  ['alerts/src/rule.ts', 'run(); // FIXME later', 'FIXME'],
  ['alerts/src/rule.ts', '/* TODO */', 'TODO'],
  ['alerts/src/rule.test.ts', "it.only('x', () => {})", 'it.only'],
  ['alerts/src/rule.test.ts', "it.skip('x', () => {})", 'it.skip('],
  ['alerts/src/index.ts', "export * from './rule.js';", 'export * from'],
  ['cli/src/up.ts', "const dir = '/home/someone/pool';", '/home/s'],
  ['package-lock.json', '"resolved": "https://example.org/a.tgz"', '"resolved": "https:'],
];

describe('the tidy rules', () => {
  it.each(planted)('find what is wrong with %s: %s', (path, text, found) => {
    expect(breachesOf(path, text).map((breach) => breach.found)).toEqual([found]);
  });

  it.each([
    ['alerts/src/rule.ts', 'const commonUnit = 1; // shared by both'],
    ['alerts/src/rule.test.ts', "it.skipIf(absent)('x', () => {})"],
    ['alerts/src/index.ts', "export { rule } from './rule.js';"],
    ['package-lock.json', '"resolved": "alerts", "link": true'],
  ])('let pass what is right in %s', (path, text) => {
    expect(breachesOf(path, text)).toEqual([]);
  });
});
