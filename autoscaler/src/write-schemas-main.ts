/** Writes docs/schemas: `node autoscaler/dist/write-schemas-main.js` after a build. A test holds the files to the code. */
import { mkdir, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { poolsFileSchema } from './pools-file.js';
import { scalingPolicySchema } from './scaling-policy.js';

const folder = new URL('../../docs/schemas/', import.meta.url);
await mkdir(folder, { recursive: true });
for (const [file, schema] of [
  ['pools.schema.json', poolsFileSchema],
  ['scaling-policy.schema.json', scalingPolicySchema],
] as const) {
  const text = JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), undefined, 2);
  await writeFile(new URL(file, folder), `${text}\n`);
}
