/** `node packages/metrics-store/dist/cluster-ddl-main.js` writes cluster/poolmeter.sql anew. */
import { mkdir, writeFile } from 'node:fs/promises';
import { clusterDdlText } from './cluster-ddl-text.js';

const target = new URL('../cluster/poolmeter.sql', import.meta.url);
await mkdir(new URL('.', target), { recursive: true });
await writeFile(target, await clusterDdlText());
