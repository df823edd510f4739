import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface RuleFile {
  groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
}
interface RuleTestFile {
  tests: { alert_rule_test: { alertname: string; exp_alerts?: unknown[] }[] }[];
}

const read = (path: string): unknown =>
  parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'));
const rulesIn = (file: string) => (read(file) as RuleFile).groups.flatMap((group) => group.rules);
const casesIn = (file: string) => (read(file) as RuleTestFile).tests.flatMap((one) => one.alert_rule_test);
const rules = [...rulesIn('rules/poolmeter.yaml'), ...rulesIn('rules/gpus.yaml')];
const cases = [...casesIn('rules/poolmeter.test.yaml'), ...casesIn('rules/gpus.test.yaml')];

/** promtool judges the expressions in test:int; this holds what needs no promtool. */
describe.each(rules)('the Prometheus alert $alert', ({ alert, annotations }) => {
  it('links a runbook that exists: its own, or for a GPU that of the incident', () => {
    if (alert.startsWith('Poolmeter')) expect(annotations['runbook_url']).toBe(`docs/runbooks/${alert}.md`);
    expect(existsSync(new URL(`../../../${annotations['runbook_url'] ?? ''}`, import.meta.url))).toBe(true);
  });

  it('has a promtool case in which it fires', () => {
    expect(cases.some((one) => one.alertname === alert && (one.exp_alerts ?? []).length > 0)).toBe(true);
  });
});
