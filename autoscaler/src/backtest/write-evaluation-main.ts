/** Writes docs/autoscaler-evaluation.md: `node autoscaler/dist/backtest/write-evaluation-main.js FOLDER_OF_TRACES`. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { evaluationText, judgeTrace } from './evaluate-traces.js';
import { readJobTrace } from './job-trace.js';
import { jobsOfDemand, jobsOfRequests } from './other-traces.js';

const folder = process.argv[2] ?? '../shared/data/traces';
const textOf = async (name: string) => gunzipSync(await readFile(join(folder, name))).toString('utf8');

const venus = readJobTrace(await readFile(join(folder, 'jobs_helios_venus_125k.csv.gz')), 'Venus');
const helios = jobsOfDemand(await textOf('demand_helios_earth_vc_minutes_changes.csv.gz'), 'Helios Earth');
const azure = jobsOfRequests(await textOf('requests_azure_llm_2023_conv.csv.gz'), 'Azure conversations');

const judged = [await judgeTrace(venus), await judgeTrace(helios), await judgeTrace(azure)];
const docs = new URL('../../../docs/', import.meta.url);
await writeFile(new URL('autoscaler-evaluation.md', docs), evaluationText(judged));
for (const one of judged) await writeFile(new URL(`images/${one.imageFile}`, docs), one.image);
