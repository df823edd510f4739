-- Who numbers invoices. The row is locked by the transaction that takes a number, so numbers have no gap.
CREATE TABLE billing.issuers (
  issuer_id   text PRIMARY KEY,
  prefix      text NOT NULL,
  next_number bigint NOT NULL CHECK (next_number >= 1)
);
INSERT INTO billing.issuers VALUES ('default', 'PM-', 1);

CREATE TABLE billing.invoices (
  invoice_id     text PRIMARY KEY,
  issuer_id      text NOT NULL REFERENCES billing.issuers,
  number         text,
  status         text NOT NULL CHECK (status IN ('draft', 'final', 'void')),
  customer_id    text NOT NULL REFERENCES billing.customers,
  month          text NOT NULL CHECK (month ~ '^\d{4}-\d{2}$'),
  period_start   timestamptz(3) NOT NULL,
  period_end     timestamptz(3) NOT NULL CHECK (period_end > period_start),
  zone           text NOT NULL,
  currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  subtotal       numeric(38, 9) NOT NULL,
  tax            numeric(38, 9) NOT NULL,
  total          numeric(38, 9) NOT NULL CHECK (total = subtotal + tax),
  holds          jsonb NOT NULL,
  -- What the invoice was computed from, and the digest of its content.
  manifest       jsonb NOT NULL,
  input_digest   text NOT NULL,
  -- Of a draft: what it depends on, so that an unchanged one is not computed again.
  mark           text NOT NULL DEFAULT '',
  created_at     timestamptz(3) NOT NULL,
  updated_at     timestamptz(3) NOT NULL,
  finalized_at   timestamptz(3),
  voided_at      timestamptz(3),
  void_reason    text,
  UNIQUE (issuer_id, number),
  CHECK ((status = 'draft') = (number IS NULL)),
  CHECK ((status = 'draft') = (finalized_at IS NULL)),
  CHECK ((status = 'void') = (voided_at IS NOT NULL))
);
CREATE UNIQUE INDEX one_invoice_per_customer_and_month ON billing.invoices (customer_id, month) WHERE status <> 'void';
CREATE INDEX invoices_by_period ON billing.invoices (period_start, invoice_id);

-- A final invoice changes in one way only: it becomes void. Everything else needs a new document.
CREATE FUNCTION billing.protect_final_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.status = 'draft' THEN
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
  END IF;
  IF TG_OP = 'UPDATE' AND OLD.status = 'final' AND NEW.status = 'void'
    AND to_jsonb(NEW) - '{status,voided_at,void_reason,updated_at}'::text[]
      = to_jsonb(OLD) - '{status,voided_at,void_reason,updated_at}'::text[] THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'invoice % is %: it cannot be changed', OLD.number, OLD.status
    USING ERRCODE = 'restrict_violation', TABLE = 'invoices';
END $$;
CREATE TRIGGER protect_final BEFORE UPDATE OR DELETE ON billing.invoices
  FOR EACH ROW EXECUTE FUNCTION billing.protect_final_invoice();

CREATE TABLE billing.invoice_lines (
  line_id       text PRIMARY KEY,
  invoice_id    text NOT NULL REFERENCES billing.invoices,
  line_number   integer NOT NULL,
  line_key      text NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('usage', 'excluded', 'commitment', 'discount', 'sla_credit',
                  'adjustment', 'fee', 'tax', 'rounding')),
  description   text NOT NULL,
  -- GPU-milliseconds, exact: an integer or a fraction.
  gpu_ms        text NOT NULL,
  unit_price    text,
  amount        numeric(38, 9) NOT NULL,
  formula       text NOT NULL,
  price_version text NOT NULL,
  -- Parts of the rating, incidents, the closed period of an adjustment.
  details       jsonb NOT NULL,
  evidence      jsonb,
  -- Of an adjustment: the invoice that it corrects.
  corrects      text REFERENCES billing.invoices,
  UNIQUE (invoice_id, line_key),
  UNIQUE (invoice_id, line_number)
);
CREATE INDEX invoice_lines_that_correct ON billing.invoice_lines (corrects) WHERE corrects IS NOT NULL;

CREATE TABLE billing.billable_intervals (
  interval_id  text NOT NULL,
  invoice_id   text NOT NULL REFERENCES billing.invoices,
  -- NULL while it is held or has no price.
  line_id      text REFERENCES billing.invoice_lines,
  lease_id     text NOT NULL,
  customer_id  text NOT NULL,
  project      text NOT NULL,
  provider_id  text NOT NULL,
  pool         text NOT NULL,
  node         text NOT NULL,
  gpu_uuid     text NOT NULL,
  gpu_instance text NOT NULL,
  gpu_model    text NOT NULL,
  pricing_mode text NOT NULL,
  share        text NOT NULL,
  started_at   timestamptz(3) NOT NULL,
  ended_at     timestamptz(3) NOT NULL CHECK (ended_at > started_at),
  outcome      text NOT NULL CHECK (outcome IN ('billed', 'excluded', 'held')),
  gpu_ms       text NOT NULL,
  -- Its part of the line by largest remainder.
  amount       numeric(38, 9),
  incident_ids text[] NOT NULL,
  evidence     jsonb,
  PRIMARY KEY (invoice_id, interval_id)
);
CREATE INDEX billable_intervals_of_line ON billing.billable_intervals (line_id, started_at);

-- Lines and intervals of a final invoice are part of it.
CREATE FUNCTION billing.protect_final_part() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  state text;
BEGIN
  SELECT status INTO state FROM billing.invoices
  WHERE invoice_id = CASE TG_OP WHEN 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END;
  IF state <> 'draft' THEN
    RAISE EXCEPTION 'a part of a % invoice cannot be changed', state
      USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER protect_final BEFORE INSERT OR UPDATE OR DELETE ON billing.invoice_lines
  FOR EACH ROW EXECUTE FUNCTION billing.protect_final_part();
CREATE TRIGGER protect_final BEFORE INSERT OR UPDATE OR DELETE ON billing.billable_intervals
  FOR EACH ROW EXECUTE FUNCTION billing.protect_final_part();

-- The verdicts that invoices used, as they were then.
CREATE TABLE billing.pinned_verdicts (
  verdict_id text NOT NULL,
  revision   bigint NOT NULL,
  verdict    jsonb NOT NULL,
  PRIMARY KEY (verdict_id, revision)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.pinned_verdicts
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

-- Where the bus stood when a period's end had passed: a final invoice waits until readers are past it.
CREATE TABLE billing.period_positions (
  period_end timestamptz(3) PRIMARY KEY,
  noted_at   timestamptz(3) NOT NULL,
  positions  jsonb NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.period_positions
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
