import { envExample } from '@poolmeter/service';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { roles } from './commands/role-definitions.js';
import { configSections } from './config-sections.js';

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
}

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('docker-compose.yml', root), 'utf8');
const compose = parse(text, { merge: true }) as ComposeFile;
const services = Object.entries(compose.services);
/** Variables of the schemas, from the same text that people read. */
const known = new Set(
  [...envExample(configSections).matchAll(/^(?:# )?(POOLMETER_[A-Z_]+)=/gm)].map(([, name]) => name),
);
const variablesOf = (service: Service | undefined) =>
  Object.keys(service?.environment ?? {}).filter((name) => name.startsWith('POOLMETER_'));

describe('docker-compose.yml', () => {
  it('sets only variables that a schema knows', () => {
    const set = services
      .filter(([name]) => name !== 'grafana')
      .flatMap(([, service]) => variablesOf(service));
    expect(set.length).toBeGreaterThan(20);
    expect(set.filter((name) => !known.has(name))).toEqual([]);
  });

  it('gives Grafana what the provisioned data source asks for, and the boards where it looks', () => {
    const provisioning = (path: string) =>
      readFileSync(new URL(`dashboards/provisioning/${path}`, root), 'utf8');
    const asked = [...provisioning('datasources/poolmeter.yaml').matchAll(/\$(\w+)/g)].map(
      ([, name]) => name,
    );
    expect(variablesOf(compose.services['grafana']).sort()).toEqual(asked.sort());
    const { providers } = parse(provisioning('dashboards/poolmeter.yaml')) as {
      providers: { options: { path: string } }[];
    };
    expect(compose.services['grafana']?.volumes).toContain(
      `./dashboards/generated:${providers[0]?.options.path ?? ''}:ro`,
    );
  });

  it('fills in only variables that .env.example lists', () => {
    const filled = [...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name);
    expect(filled.length).toBeGreaterThan(4);
    expect(filled.filter((name) => !known.has(name))).toEqual([]);
  });

  it.each(roles.map((role) => [role.name, role] as const))(
    'runs the role %s with settings that it accepts',
    async (name, role) => {
      const service = compose.services[name];
      expect(service?.command).toEqual([name]);
      expect(variablesOf(service).filter((variable) => !variable.startsWith(`${role.prefix}_`))).toEqual([]);
      const env = Object.fromEntries(
        Object.entries(service?.environment ?? {}).map(([key, value]) => [key, filledIn(String(value))]),
      );
      const { settings } = await role.prepare(env, {});
      expect(settings['brokers']).toEqual(['kafka:9092']);
    },
  );

  it('starts roles after the migrations, and the migrations after the stores', () => {
    for (const { name } of roles) {
      expect(compose.services[name]?.depends_on?.['migrate']?.condition, name).toBe(
        'service_completed_successfully',
      );
    }
    expect(Object.keys(compose.services['migrate']?.depends_on ?? {}).sort()).toEqual([
      'clickhouse',
      'postgres',
    ]);
  });

  it('opens ports on loopback only', () => {
    const ports = services.flatMap(([, service]) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('checks the health of everything that stays', () => {
    const unchecked = services
      .filter(([, { healthcheck }]) => healthcheck?.test === undefined)
      .map(([name]) => name);
    expect(unchecked).toEqual(['migrate']);
    expect(compose.services['migrate']?.healthcheck?.disable).toBe(true);
  });

  it('mounts files that exist and volumes that are declared', () => {
    const sources = services
      .flatMap(([, service]) => service.volumes ?? [])
      .map((volume) => volume.split(':')[0] ?? '');
    const missing = sources.filter((source) =>
      source.startsWith('./') ? !existsSync(new URL(source, root)) : !(source in compose.volumes),
    );
    expect(missing).toEqual([]);
  });

  it('watches every role with Prometheus', () => {
    const prometheus = readFileSync(new URL('docker/prometheus.yml', root), 'utf8');
    const { scrape_configs: jobs } = parse(prometheus) as { scrape_configs: { job_name: string }[] };
    expect(jobs.map((job) => job.job_name).sort()).toEqual(
      roles.map((role) => `poolmeter-${role.name}`).sort(),
    );
  });
});

/** As docker compose does it: `${NAME:?message}` and `${NAME:-default}`. */
function filledIn(value: string): string {
  return value.replace(
    /\$\{\w+:(?:\?[^}]*|-([^}]*))\}/g,
    (_, fallback: string | undefined) => fallback ?? 'secret',
  );
}
