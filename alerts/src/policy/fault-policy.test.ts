import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isPoolmeterError } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { faultPolicyJsonSchema } from './fault-policy.js';
import { defaultPolicyFile, loadFaultPolicy, parseFaultPolicy, type PolicyFinding } from './load-policy.js';

const docs = new URL('../../../docs/', import.meta.url);
const policy = loadFaultPolicy(defaultPolicyFile);

function findingsOf(text: string): readonly PolicyFinding[] {
  try {
    parseFaultPolicy(text, 'test.yaml');
  } catch (fault) {
    if (isPoolmeterError(fault) && fault.code === 'config.invalid')
      return fault.details['findings'] as PolicyFinding[];
    throw fault;
  }
  return [];
}

const defaultText = readFileSync(defaultPolicyFile, 'utf8');
const lineOf = (text: string, part: string) => text.slice(0, text.indexOf(part)).split('\n').length;

describe('the default policy', () => {
  it.each([13, 31, 43, 45, 48, 63, 64, 74, 79, 92, 94, 95, 109, 119, 120, 154])(
    'lists Xid %i by its number',
    (code) => {
      const fault = policy.faults.find((one) => 'event' in one.when && one.when.event === 'xid' && one.when.codes?.includes(code)); // prettier-ignore
      expect(fault?.code).toBe(`xid-${code}`);
    },
  );

  it.each([
    ['xid-13', 'warn', 'application', 'B'],
    ['xid-31', 'warn', 'application', 'B'],
    ['xid-43', 'info', 'application', 'B'],
    ['xid-48', 'fatal', 'hardware', 'C'],
    ['xid-63', 'warn', 'hardware', 'B'],
    ['xid-64', 'fatal', 'hardware', 'C'],
    ['xid-79', 'fatal', 'hardware', 'C'],
    ['xid-94', 'critical', 'hardware', 'C'],
    ['xid-95', 'fatal', 'hardware', 'C'],
    ['xid-109', 'critical', 'unknown', 'H'],
    ['xid-119', 'fatal', 'hardware', 'C'],
    ['xid-unlisted', 'warn', 'unknown', 'H'],
    ['gpu-lost', 'fatal', 'hardware', 'C'],
    ['node-silent', 'warn', 'unknown', 'B'],
  ])('says of %s: %s, blame %s, class %s', (code, severity, blame, billingClass) => {
    expect(policy.faults.find((one) => one.code === code)).toMatchObject({
      severity,
      blame,
      billing_class: billingClass,
    });
  });

  it('matches the unlisted Xid last of all Xids, or it would take them all', () => {
    const xids = policy.faults.filter((one) => 'event' in one.when && one.when.event === 'xid');
    expect(xids.at(-1)?.code).toBe('xid-unlisted');
  });

  it('has a runbook for every code, and no runbook for a code that it does not open', () => {
    const written = readdirSync(new URL('runbooks/', docs)).filter((name) => name.endsWith('.md'));
    const wanted = policy.faults.map((one) => `${one.code}.md`);
    expect(wanted.filter((name) => !existsSync(new URL(`runbooks/${name}`, docs)))).toEqual([]);
    // Runbooks of Prometheus alerts begin with a capital letter.
    const incidents = written.filter((name) => /^[a-z]/.test(name));
    expect(incidents.sort()).toEqual(wanted.sort());
  });

  it.each(policy.faults.map((one) => one.code))(
    '%s: its runbook has the four sections and names its class',
    (code) => {
      const text = readFileSync(new URL(`runbooks/${code}.md`, docs), 'utf8');
      const headings = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1]);
      expect(headings).toEqual(['Symptom', 'Evidence', 'What to do', 'How it clears']);
      const fault = policy.faults.find((one) => one.code === code);
      expect(text).toContain(`class ${fault?.billing_class ?? ''}`);
    },
  );

  it('has the JSON Schema that is published (write it anew with npm run policy-schema -w alerts)', () => {
    const published = JSON.parse(
      readFileSync(new URL('schemas/fault-policy.schema.json', docs), 'utf8'),
    ) as unknown;
    expect(published).toEqual(JSON.parse(JSON.stringify(faultPolicyJsonSchema())));
  });
});

describe('a wrong policy', () => {
  it('is refused with the line of every fault at once', () => {
    const text = defaultText
      .replace('billing_class: C', 'billing_class: X')
      .replace('clear: { by: return, healthy_for: 5m }', 'clear: { by: return, healthy_for: 5 minutes }')
      .replace('severity: info', 'severity: none');
    expect(findingsOf(text)).toMatchObject([
      { path: 'faults.0.billing_class', line: lineOf(text, 'billing_class: X') },
      { path: 'faults.0.clear.healthy_for', line: lineOf(text, '5 minutes') },
      { line: lineOf(text, 'severity: none') },
    ]);
  });

  it.each([
    ['a code twice', (text: string) => text.replace('code: xid-120', 'code: xid-119'), 'is listed twice'],
    [
      'a cause that is no fault',
      (text: string) => text.replace('[xid-48, xid-64]', '[xid-48, xid-640]'),
      'xid-640 is not a fault',
    ],
    [
      'an unknown key',
      (text: string) => text.replace('blame: hardware', 'blamed: hardware'),
      'nrecognized key',
    ],
    [
      'a pattern that is none',
      (text: string) => text.replace(`'to 0x0 \\(None\\)'`, `'to ('`),
      'is not a regular expression',
    ],
    [
      'an end by signal without a condition',
      (text: string) => text.replace('{ by: expiry, after: 1h }', '{ by: signal }'),
      'needs a telemetry condition',
    ],
    ['no YAML', () => 'faults: [', 'flow sequence'],
  ])('is refused for %s', (_name, change, message) => {
    const text = change(defaultText);
    expect(text).not.toBe(defaultText);
    expect(findingsOf(text).map((one) => one.message).join('; ').toLowerCase()).toContain(message.toLowerCase()); // prettier-ignore
  });
});
