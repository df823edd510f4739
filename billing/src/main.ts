#!/usr/bin/env node
import { isPoolmeterError, messageOf } from '@poolmeter/domain';
import { loadBillingConfig } from './config.js';
import { runBilling } from './run-billing.js';

try {
  await runBilling({ config: loadBillingConfig(process.env) });
} catch (fault) {
  process.stderr.write(`${messageOf(fault)}\n`);
  // 2: the configuration must change; 3: something that it depends on could not be reached.
  process.exitCode = isPoolmeterError(fault) && fault.code === 'config.invalid' ? 2 : 3;
}
