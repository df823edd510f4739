import { alertsMigrations } from '@poolmeter/alerts';
import { autoscalerMigrations } from '@poolmeter/autoscaler';
import { billingMigrations } from '@poolmeter/billing';
import { accessMigrations } from '@poolmeter/http-api';
import type { MigrationSet } from '@poolmeter/relational-store';

/** Every schema of the product. Billing comes before alerts: alerts read its published leases. */
export const migrationSets: readonly MigrationSet[] = [
  accessMigrations,
  billingMigrations,
  alertsMigrations,
  autoscalerMigrations,
];
