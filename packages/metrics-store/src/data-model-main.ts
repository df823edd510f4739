/** `node packages/metrics-store/dist/data-model-main.js` writes docs/data-model.md anew. */
import { writeFile } from 'node:fs/promises';
import { describeDataModel } from './data-model.js';
import { startTestStore } from './start-test-store.js';

const target = new URL('../../../docs/data-model.md', import.meta.url);
const scratch = await startTestStore();
try {
  await writeFile(target, await describeDataModel(scratch.store));
} finally {
  await scratch.stop();
}
