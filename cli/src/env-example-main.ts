/** Writes .env.example: `node cli/dist/env-example-main.js` after a build. A test holds the file to the schemas. */
import { envExample } from '@poolmeter/service';
import { writeFile } from 'node:fs/promises';
import { configSections } from './config-sections.js';

await writeFile(new URL('../../.env.example', import.meta.url), envExample(configSections));
