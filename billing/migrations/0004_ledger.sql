-- Double entry, append-only: every transaction sums to zero per currency. Debits are positive, credits negative.
CREATE TABLE billing.ledger_accounts (
  account_id text PRIMARY KEY,
  kind       text NOT NULL CHECK (kind IN ('customer_receivable', 'revenue', 'provider_payable', 'tax_payable', 'rounding')),
  -- The customer or provider, '' for our own accounts.
  owner_id   text NOT NULL,
  UNIQUE (kind, owner_id)
);

CREATE TABLE billing.ledger_transactions (
  transaction_id text PRIMARY KEY,
  kind           text NOT NULL CHECK (kind IN ('invoice_finalized', 'invoice_voided')),
  invoice_id     text NOT NULL REFERENCES billing.invoices,
  occurred_at    timestamptz(3) NOT NULL,
  description    text NOT NULL,
  -- A business event is booked once.
  UNIQUE (kind, invoice_id)
);

CREATE TABLE billing.ledger_entries (
  transaction_id text NOT NULL REFERENCES billing.ledger_transactions,
  entry          integer NOT NULL,
  account_id     text NOT NULL REFERENCES billing.ledger_accounts,
  currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  amount         numeric(38, 9) NOT NULL CHECK (amount <> 0),
  PRIMARY KEY (transaction_id, entry)
);
CREATE INDEX ledger_entries_of_account ON billing.ledger_entries (account_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.ledger_accounts
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.ledger_transactions
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.ledger_entries
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.ledger_entries
  FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

CREATE FUNCTION billing.check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  unbalanced text;
BEGIN
  SELECT string_agg(currency || ' ' || total, ', ') INTO unbalanced
  FROM (
    SELECT currency, sum(amount) AS total FROM billing.ledger_entries
    WHERE transaction_id = NEW.transaction_id GROUP BY currency
  ) AS sums
  WHERE total <> 0;
  IF unbalanced IS NOT NULL THEN
    RAISE EXCEPTION 'ledger transaction % does not balance: %', NEW.transaction_id, unbalanced
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balances';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT ON billing.ledger_entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing.check_balance();
