/** Every setting that poolmeter reads, by who reads it: what `.env.example` lists. */
import { ALERTS_PREFIX, alertsConfigSchema } from '@poolmeter/alerts';
import { AUTOSCALER_PREFIX, autoscalerConfigSchema } from '@poolmeter/autoscaler';
import { BILLING_PREFIX, billingConfigSchema } from '@poolmeter/billing';
import { COLLECTOR_PREFIX, collectorConfigSchema } from '@poolmeter/collector';
import { PIPELINE_PREFIX, pipelineConfigSchema } from '@poolmeter/pipeline';
import { defineConfig, type ConfigSection } from '@poolmeter/service';
import { z } from 'zod';
import { API_PREFIX, apiConfigSchema } from './commands/api-role.js';
import { MIGRATE_PREFIX, migrateConfigSchema } from './commands/migrate.js';

const password = (of: string) => z.string().min(1).describe(`Letters and digits; the password of ${of}.`);

/** What docker-compose.yml fills in from `.env`. The roles read none of it. */
const composeSchema = defineConfig({
  postgresPassword: password('the PostgreSQL user poolmeter'),
  clickhousePassword: password('the ClickHouse user poolmeter'),
  clickhouseReaderPassword: password('the ClickHouse user grafana_reader, who may only read'),
  grafanaPassword: password('the Grafana user admin'),
  scrape: z
    .string()
    .default('http://host.docker.internal:9400/metrics')
    .describe('Addresses of dcgm-exporters as the collector’s container reaches them, separated by commas.'),
});

export const configSections: readonly ConfigSection[] = [
  { title: 'docker-compose.yml', prefix: 'POOLMETER_COMPOSE', schema: composeSchema },
  {
    title: 'collector: the agent on or near GPU nodes',
    prefix: COLLECTOR_PREFIX,
    schema: collectorConfigSchema,
  },
  { title: 'pipeline: bus to ClickHouse', prefix: PIPELINE_PREFIX, schema: pipelineConfigSchema },
  { title: 'alerts: the fault monitor', prefix: ALERTS_PREFIX, schema: alertsConfigSchema },
  { title: 'billing: leases to invoices', prefix: BILLING_PREFIX, schema: billingConfigSchema },
  { title: 'autoscaler: pools and schedulers', prefix: AUTOSCALER_PREFIX, schema: autoscalerConfigSchema },
  { title: 'api: the HTTP API and the console', prefix: API_PREFIX, schema: apiConfigSchema },
  { title: 'migrate: one run before the roles', prefix: MIGRATE_PREFIX, schema: migrateConfigSchema },
];
