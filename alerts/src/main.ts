#!/usr/bin/env node
import { isPoolmeterError, messageOf } from '@poolmeter/domain';
import { loadAlertsConfig } from './config.js';
import { runAlerts } from './run-alerts.js';

try {
  await runAlerts({ config: loadAlertsConfig(process.env), secrets: process.env });
} catch (fault) {
  process.stderr.write(`${messageOf(fault)}\n`);
  // 2: the configuration must change; 3: something that it depends on could not be reached.
  process.exitCode = isPoolmeterError(fault) && fault.code === 'config.invalid' ? 2 : 3;
}
