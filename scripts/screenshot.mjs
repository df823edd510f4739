#!/usr/bin/env node
// The picture in README.md: the console of a running `poolmeter up`, as a person sees it after signing in.
// Usage: node scripts/screenshot.mjs [DATA_DIR] [OUT.png]; needs Chromium (CHROMIUM, or /usr/bin/chromium).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [dataDir = '.poolmeter', out = 'docs/images/console-fleet.png'] = process.argv.slice(2);
const { url, token } = JSON.parse(readFileSync(join(dataDir, 'endpoint.json'), 'utf8'));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1150 }, colorScheme: 'dark' });
  const faults = [];
  page.on('pageerror', (fault) => faults.push(fault.message));
  await page.goto(new URL('/sign-in', url).href);
  await page.fill('input[name=token]', token);
  await page.press('input[name=token]', 'Enter');
  await page.waitForURL(new URL('/', url).href);
  await page.waitForSelector('canvas');
  await page.waitForLoadState('networkidle');
  await page.waitForTimeout(2_000);
  await page.screenshot({ path: out });
  if (faults.length > 0) throw new Error(`The page reported: ${faults.join('; ')}`);
  process.stdout.write(`${out}\n`);
} finally {
  await browser.close();
}
