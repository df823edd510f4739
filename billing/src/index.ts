export {
  BILLING_PREFIX,
  billingConfigSchema,
  billingDefaults,
  loadBillingConfig,
  type BillingProcessConfig,
  type BillingSettings,
} from './config.js';
export {
  billingReaderGroups,
  createBilling,
  timeZoneDataVersion,
  type BillingDeps,
} from './create-billing.js';
export { billingMigrations, type BillingDatabase, type BillingStore } from './database.js';
export { readContractsFile, type ContractsFile } from './files/contracts-file.js';
export { readCustomersFile, type CustomersFile } from './files/customers-file.js';
export { readPricesFile, type PricesFile } from './files/prices-file.js';
export type { BillingApiDeps } from './http/billing-api-deps.js';
export { billingRoutes } from './http/billing-routes.js';
export { createBusMeterPosition, type MeterPosition, type ReaderGroup } from './invoicing/meter-position.js';
export { leasesToCsv, parseLeasesCsv, type LeaseRow, type LeasesCsv } from './leases/leases-csv.js';
export { chargeIntervals, meterPeriod, pricesOf } from './invoicing/charge-period.js';
export { closePeriod } from './invoicing/close-period.js';
export { computeCurrent } from './invoicing/draft-invoice.js';
export type { ClosingDeps } from './invoicing/finalize-invoice.js';
export { verifyInvoice } from './invoicing/verify-invoice.js';
export { applyPrices } from './prices/price-store.js';
export { billingPeriod, billingPeriodAt, type BillingPeriod } from './invoicing/period.js';
export type { WatchedPool } from './leases/watch-scheduler.js';
export { createEvidenceSource, type Evidence, type EvidenceSource } from './metering/evidence.js';
export { runBilling, type RunBillingOptions } from './run-billing.js';
