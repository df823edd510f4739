/** The rules of STYLE.md that a program can check: each takes a path and a text and names what breaks it. */

export interface Breach {
  readonly path: string;
  readonly rule: string;
  readonly found: string;
}

interface TextRule {
  readonly rule: string;
  readonly applies: (path: string) => boolean;
  readonly pattern: RegExp;
}

const isSource = (path: string) => /\.(ts|mts|mjs|cjs)$/.test(path);
const isPage = (path: string) => /^[^/]+\.md$|^docs\/|README\.md$/.test(path) && path.endsWith('.md');
/** This folder spells the banned words out. */
const isRuleItself = (path: string) => path.startsWith('e2e/src/tidy/');

const BANNED_NAMES = ['utils', 'util', 'helpers', 'helper', 'common', 'shared', 'misc'];

const TEXT_RULES: readonly TextRule[] = [
  {
    rule: 'no postponed work in comments: finish it, or open an issue',
    applies: isSource,
    pattern: /\b(TODO|FIXME|XXX|HACK)\b/,
  },
  {
    rule: 'a test that runs alone hides the others',
    applies: (path) => path.endsWith('.test.ts'),
    pattern: /\b(it|test|describe)\.only\b/,
  },
  {
    rule: 'a test that is skipped says under which condition (skipIf)',
    applies: (path) => path.endsWith('.test.ts'),
    pattern: /\b(it|test|describe)\.(skip|todo)\(/,
  },
  {
    rule: 'index.ts names what it exports',
    applies: (path) => path.endsWith('/index.ts'),
    pattern: /export \* from/,
  },
  {
    rule: 'no path of one machine',
    applies: (path) => isSource(path) || isPage(path) || path.endsWith('.json') || /\.ya?ml$/.test(path),
    pattern: /(?<![\w.])(\/work\/|\/root\/|\/home\/[a-z]|\/Users\/[A-Za-z])/,
  },
  {
    rule: 'the lock file names no host',
    applies: (path) => path === 'package-lock.json' || path === '.npmrc',
    pattern: /"resolved": "https?:|registry\s*=/,
  },
];

/** What breaks a rule in this file; its name is judged even where its text is not. */
export function breachesOf(path: string, text: string): Breach[] {
  const byName = nameBreach(path);
  const byText = isRuleItself(path)
    ? []
    : TEXT_RULES.filter((rule) => rule.applies(path)).flatMap((rule) => {
        const found = rule.pattern.exec(text)?.[0];
        return found === undefined ? [] : [{ path, rule: rule.rule, found }];
      });
  return [...(byName === undefined ? [] : [byName]), ...byText];
}

function nameBreach(path: string): Breach | undefined {
  const parts = path.split('/');
  const file = parts.at(-1) ?? '';
  const names = [...parts.slice(0, -1), file.replace(/\..*$/, '')];
  const banned = names.find((name) => BANNED_NAMES.includes(name.toLowerCase()));
  if (banned !== undefined) return { path, rule: 'a name says what the thing is', found: banned };
  if (file === 'types.ts') return { path, rule: 'a type stands beside what it describes', found: file };
  if (/\.(ts|mts)$/.test(file) && !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/.test(file)) {
    return { path, rule: 'source files are named in kebab-case', found: file };
  }
  return undefined;
}

/** Ways around the type checker and the linter, by how they are spelled. */
export const escapeHatches: Readonly<Record<string, RegExp>> = {
  'eslint-disable': /eslint-disable/g,
  'as unknown as': /\bas unknown as\b/g,
  '@ts-expect-error': /@ts-(expect-error|ignore|nocheck)/g,
  'as any': /\bas any\b/g,
};
