import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeDataModel } from './data-model.js';
import { startTestStore, type TestStore } from './start-test-store.js';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test.stop());

it('docs/data-model.md says what the migrations say; write it anew with dist/data-model-main.js', async () => {
  const checkedIn = await readFile(new URL('../../../docs/data-model.md', import.meta.url), 'utf8');
  expect(checkedIn).toBe(await describeDataModel(test.store));
});
