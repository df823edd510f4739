-- What others may read, and what is told to the bus.
CREATE TABLE billing.outbox (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic        text NOT NULL,
  key          text NOT NULL,
  headers      jsonb NOT NULL,
  value        bytea NOT NULL,
  written_at   timestamptz(3) NOT NULL DEFAULT now(),
  published_at timestamptz(3)
);
CREATE INDEX outbox_waiting ON billing.outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON billing.outbox (published_at) WHERE published_at IS NOT NULL;

-- Versions of the copies in ClickHouse: a later change of a row has a higher one.
CREATE SEQUENCE billing.copy_version;

CREATE VIEW billing.leases_v1 AS
SELECT lease_id, customer_id, project, provider_id, pool, node, gpu_uuid, gpu_instance, gpu_index, gpu_model, share,
  pricing_mode, started_at, ended_at, recorded_at
FROM billing.leases
WHERE state IN ('running', 'ended');

-- The newest invoice of each customer: of the latest period, one that counts before a void one.
CREATE VIEW billing.latest_invoices_v1 AS
SELECT DISTINCT ON (customer_id) invoice_id, number, customer_id, status, period_start, period_end, currency,
  CASE WHEN total = trunc(total, 2) THEN trunc(total, 2) ELSE total END::text AS total, updated_at
FROM billing.invoices
ORDER BY customer_id, period_start DESC, status = 'void', updated_at DESC;
