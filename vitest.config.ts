import { defineConfig } from 'vitest/config';

const conditions = ['poolmeter-source'];

/**
 * `unit` needs no server of its own (embedded parts count as our own); `int` starts real servers through
 * scripts/test-int.sh. Both run on sources; child processes run on what `tsc -b` built.
 */
const project = (name: string, include: string[], timeoutMs: number, extraExclude: string[] = []) => ({
  resolve: { conditions: [...conditions, 'node', 'import', 'default'] },
  ssr: { resolve: { conditions: [...conditions, 'node', 'import', 'default'] } },
  test: {
    name,
    include,
    exclude: ['**/node_modules/**', '**/dist/**', ...extraExclude],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    pool: 'forks' as const,
    maxWorkers: 2,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', ['**/*.test.ts'], 30_000, ['**/*.int.test.ts']),
      project('int', ['**/*.int.test.ts'], 240_000),
    ],
  },
});
