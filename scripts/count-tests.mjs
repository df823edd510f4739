/**
 * Reads a report of vitest's JSON reporter, prints what failed, and writes "PASSED FAILED SKIPPED" to the file that is
 * given second. A file of tests that could not be loaded counts as one failure.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [reportFile, countsFile] = process.argv.slice(2);
const report = JSON.parse(readFileSync(reportFile, 'utf8'));

const cases = report.testResults.flatMap((file) => file.assertionResults);
const failedCases = cases.filter((one) => one.status === 'failed');
const unloaded = report.testResults.filter(
  (file) => file.status === 'failed' && !file.assertionResults.some((one) => one.status === 'failed'),
);
for (const one of failedCases) console.log(`FAILED ${one.fullName}\n  ${one.failureMessages.join('\n  ')}`);
for (const file of unloaded) console.log(`FAILED ${file.name}\n  ${file.message}`);

const passed = cases.filter((one) => one.status === 'passed').length;
const failed = failedCases.length + unloaded.length;
writeFileSync(countsFile, `${passed} ${failed} ${cases.length - passed - failedCases.length}\n`);
