-- What corrects, holds and settles invoices: notes, disputes, maintenance, wallets, budgets, payouts, findings.

-- Lines and intervals of a final invoice are part of it. Once per statement: a close writes thousands of rows.
DROP TRIGGER protect_final ON billing.invoice_lines;
DROP TRIGGER protect_final ON billing.billable_intervals;
DROP FUNCTION billing.protect_final_part();
CREATE FUNCTION billing.protect_final_parts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  state text;
BEGIN
  SELECT i.status INTO state FROM billing.invoices AS i
  WHERE i.status <> 'draft' AND i.invoice_id IN (SELECT DISTINCT t.invoice_id FROM touched AS t) LIMIT 1;
  IF state IS NOT NULL THEN
    RAISE EXCEPTION 'a part of a % invoice cannot be changed', state
      USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER protect_final_insert AFTER INSERT ON billing.invoice_lines
  REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing.protect_final_parts();
CREATE TRIGGER protect_final_update AFTER UPDATE ON billing.invoice_lines
  REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing.protect_final_parts();
CREATE TRIGGER protect_final_delete AFTER DELETE ON billing.invoice_lines
  REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing.protect_final_parts();
CREATE TRIGGER protect_final_insert AFTER INSERT ON billing.billable_intervals
  REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing.protect_final_parts();
CREATE TRIGGER protect_final_update AFTER UPDATE ON billing.billable_intervals
  REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing.protect_final_parts();
CREATE TRIGGER protect_final_delete AFTER DELETE ON billing.billable_intervals
  REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing.protect_final_parts();

-- Announced work on hardware. Append-only: an announcement that changes is a new one.
CREATE TABLE billing.maintenance (
  maintenance_id text PRIMARY KEY,
  -- '*' for all.
  pool           text NOT NULL,
  node           text NOT NULL,
  gpu_uuid       text NOT NULL,
  announced_at   timestamptz(3) NOT NULL,
  starts_at      timestamptz(3) NOT NULL,
  ends_at        timestamptz(3) NOT NULL CHECK (ends_at > starts_at),
  description    text NOT NULL,
  recorded_at    timestamptz(3) NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.maintenance
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

-- Holds that people place: while one is open the customer's invoice of that month is not final.
CREATE TABLE billing.holds (
  hold_id      text PRIMARY KEY,
  customer_id  text NOT NULL REFERENCES billing.customers,
  month        text NOT NULL CHECK (month ~ '^\d{4}-\d{2}$'),
  reason       text NOT NULL CHECK (reason IN ('attribution_not_final', 'notice_disputed', 'charge_disputed',
                 'goodwill_review', 'burst_inconsistent', 'amount_undefined')),
  description  text NOT NULL,
  blocked      numeric(38, 9),
  owner        text NOT NULL CHECK (owner IN ('operations', 'finance')),
  cleared_by   text NOT NULL,
  incident_ids text[] NOT NULL,
  placed_at    timestamptz(3) NOT NULL,
  released_at  timestamptz(3),
  release_note text
);
CREATE INDEX holds_open ON billing.holds (customer_id, month) WHERE released_at IS NULL;

-- A customer's account on which a law did not hold: nothing is invoiced until somebody releases it.
CREATE TABLE billing.parked_accounts (
  customer_id  text PRIMARY KEY REFERENCES billing.customers,
  law          text NOT NULL,
  reason       text NOT NULL,
  parked_at    timestamptz(3) NOT NULL
);

CREATE TABLE billing.findings (
  finding_id   text PRIMARY KEY,
  law          text NOT NULL,
  object_id    text NOT NULL,
  month        text NOT NULL,
  message      text NOT NULL,
  first_seen_at timestamptz(3) NOT NULL,
  last_seen_at timestamptz(3) NOT NULL,
  resolved_at  timestamptz(3)
);
CREATE INDEX findings_open ON billing.findings (month) WHERE resolved_at IS NULL;

INSERT INTO billing.issuers VALUES ('credit-notes', 'CN-', 1), ('debit-notes', 'DN-', 1);

-- A verdict that changes after an invoice is final gives a note, never another invoice.
CREATE TABLE billing.notes (
  note_id        text PRIMARY KEY,
  kind           text NOT NULL CHECK (kind IN ('credit', 'debit')),
  number         text NOT NULL UNIQUE,
  invoice_id     text NOT NULL REFERENCES billing.invoices,
  -- 1, 2, 3 … of one invoice.
  sequence       integer NOT NULL CHECK (sequence >= 1),
  customer_id    text NOT NULL REFERENCES billing.customers,
  month          text NOT NULL,
  currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- What the customer owes more: negative on a credit note.
  subtotal       numeric(38, 9) NOT NULL,
  tax            numeric(38, 9) NOT NULL,
  total          numeric(38, 9) NOT NULL CHECK (total = subtotal + tax),
  gpu_ms         text NOT NULL,
  provider_basis jsonb NOT NULL,
  -- What changed: lines before and after, the verdicts that differ.
  details        jsonb NOT NULL,
  -- The closed period as it was computed from here on.
  manifest       jsonb NOT NULL,
  issued_at      timestamptz(3) NOT NULL,
  UNIQUE (invoice_id, sequence),
  CHECK ((kind = 'credit') = (total < 0))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.notes
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

-- Prepaid money. What is left of a grant is its amount less its movements.
CREATE TABLE billing.wallet_grants (
  grant_id       text PRIMARY KEY,
  customer_id    text NOT NULL REFERENCES billing.customers,
  currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  amount         numeric(38, 9) NOT NULL CHECK (amount > 0),
  -- 'paid' money was received; 'promotional' was given.
  kind           text NOT NULL CHECK (kind IN ('paid', 'promotional')),
  description    text NOT NULL,
  -- Lower ones are used first; then what expires first.
  priority       integer NOT NULL,
  effective_from timestamptz(3) NOT NULL,
  expires_at     timestamptz(3) CHECK (expires_at > effective_from),
  granted_at     timestamptz(3) NOT NULL
);
CREATE INDEX wallet_grants_of_customer ON billing.wallet_grants (customer_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.wallet_grants
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

CREATE TABLE billing.wallet_movements (
  movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  grant_id    text NOT NULL REFERENCES billing.wallet_grants,
  kind        text NOT NULL CHECK (kind IN ('draw', 'return', 'expire')),
  -- Taken out is positive.
  amount      numeric(38, 9) NOT NULL CHECK (amount <> 0 AND (kind = 'return') = (amount < 0)),
  invoice_id  text REFERENCES billing.invoices,
  moved_at    timestamptz(3) NOT NULL,
  UNIQUE (grant_id, kind, invoice_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.wallet_movements
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
CREATE FUNCTION billing.check_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rest numeric;
BEGIN
  SELECT g.amount - sum(m.amount) INTO rest
  FROM billing.wallet_grants AS g JOIN billing.wallet_movements AS m USING (grant_id)
  WHERE g.grant_id = NEW.grant_id GROUP BY g.amount;
  IF rest < 0 THEN
    RAISE EXCEPTION 'grant % would be overdrawn by %', NEW.grant_id, -rest
      USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_not_overdrawn';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER wallet_not_overdrawn AFTER INSERT ON billing.wallet_movements
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing.check_wallet();

ALTER TABLE billing.invoices ADD COLUMN wallet_drawn numeric(38, 9) NOT NULL DEFAULT 0;

CREATE TABLE billing.budgets (
  budget_id   text PRIMARY KEY,
  customer_id text NOT NULL REFERENCES billing.customers,
  -- 'spend': charges of a month; 'wallet': what is left of prepaid money.
  kind        text NOT NULL CHECK (kind IN ('spend', 'wallet')),
  amount      numeric(38, 9) NOT NULL CHECK (amount > 0),
  currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- Percent of the amount, such as 80 and 100.
  thresholds  integer[] NOT NULL CHECK (cardinality(thresholds) > 0),
  created_at  timestamptz(3) NOT NULL,
  ended_at    timestamptz(3)
);
CREATE INDEX budgets_of_customer ON billing.budgets (customer_id) WHERE ended_at IS NULL;
CREATE TABLE billing.budget_alerts (
  budget_id  text NOT NULL REFERENCES billing.budgets,
  month      text NOT NULL,
  threshold  integer NOT NULL,
  value      numeric(38, 9) NOT NULL,
  alerted_at timestamptz(3) NOT NULL,
  PRIMARY KEY (budget_id, month, threshold)
);

-- What an invoice or a note means for the owners of the hardware.
CREATE TABLE billing.provider_earnings (
  object_id   text NOT NULL,
  provider_id text NOT NULL REFERENCES billing.providers,
  invoice_id  text NOT NULL REFERENCES billing.invoices,
  month       text NOT NULL,
  currency    text NOT NULL,
  -- Charged for its hardware, exact.
  basis       text NOT NULL,
  -- Charged less because it failed, exact: time that was not charged, and credits.
  faults      text NOT NULL,
  -- The agreed part at that time, in decimal text; NULL: nothing was agreed.
  payout_share text,
  earned      numeric(38, 9) NOT NULL,
  clawed_back numeric(38, 9) NOT NULL,
  recorded_at timestamptz(3) NOT NULL,
  PRIMARY KEY (object_id, provider_id)
);
CREATE INDEX provider_earnings_of_provider ON billing.provider_earnings (provider_id, month);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.provider_earnings
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

-- One unit of `from_currency` is `rate` of `to_currency` from that day on, until a later day has a rate.
CREATE TABLE billing.exchange_rates (
  from_currency text NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
  to_currency   text NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$'),
  day           date NOT NULL,
  rate          text NOT NULL,
  source        text NOT NULL,
  recorded_at   timestamptz(3) NOT NULL,
  PRIMARY KEY (from_currency, to_currency, day)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.exchange_rates
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

CREATE TABLE billing.payouts (
  payout_id     text PRIMARY KEY,
  provider_id   text NOT NULL REFERENCES billing.providers,
  -- What was owed, and is not any more.
  amount        numeric(38, 9) NOT NULL CHECK (amount > 0),
  currency      text NOT NULL,
  -- What was paid.
  paid_amount   numeric(38, 9) NOT NULL,
  paid_currency text NOT NULL,
  rate          text,
  rate_day      date,
  paid_at       timestamptz(3) NOT NULL
);
CREATE INDEX payouts_of_provider ON billing.payouts (provider_id, paid_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.payouts
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

-- More kinds of events are booked than invoices: each is about one object.
ALTER TABLE billing.ledger_accounts DROP CONSTRAINT ledger_accounts_kind_check;
ALTER TABLE billing.ledger_accounts ADD CONSTRAINT ledger_accounts_kind_check CHECK (kind IN
  ('customer_receivable', 'wallet', 'revenue', 'provider_payable', 'sla_credits', 'promotions', 'tax_payable',
   'cash', 'exchange', 'rounding'));
ALTER TABLE billing.ledger_transactions DROP CONSTRAINT ledger_transactions_kind_check;
ALTER TABLE billing.ledger_transactions ADD CONSTRAINT ledger_transactions_kind_check CHECK (kind IN
  ('invoice_finalized', 'invoice_voided', 'note_issued', 'wallet_granted', 'wallet_drawn', 'wallet_returned',
   'wallet_expired', 'payout'));
ALTER TABLE billing.ledger_transactions ADD COLUMN object_id text;
ALTER TABLE billing.ledger_transactions DISABLE TRIGGER append_only;
UPDATE billing.ledger_transactions SET object_id = invoice_id;
ALTER TABLE billing.ledger_transactions ENABLE TRIGGER append_only;
ALTER TABLE billing.ledger_transactions
  ALTER COLUMN object_id SET NOT NULL,
  ALTER COLUMN invoice_id DROP NOT NULL,
  DROP CONSTRAINT ledger_transactions_kind_invoice_id_key,
  ADD UNIQUE (kind, object_id);
CREATE INDEX ledger_transactions_of_invoice ON billing.ledger_transactions (invoice_id);
