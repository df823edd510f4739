-- Whose usage it is, whose hardware, and at which prices. Versions are only ever added.
CREATE SCHEMA IF NOT EXISTS billing;
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE FUNCTION billing.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%.% is append-only: add a new row instead', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;

-- One row per customer: the lock of everything that is invoiced to it.
CREATE TABLE billing.customers (
  customer_id      text PRIMARY KEY,
  current_version  integer NOT NULL CHECK (current_version >= 1),
  -- Grows whenever an invoice of this customer becomes final or void: what was computed before is out of date then.
  invoice_revision bigint NOT NULL DEFAULT 0,
  created_at       timestamptz(3) NOT NULL
);

CREATE TABLE billing.customer_versions (
  customer_id   text NOT NULL REFERENCES billing.customers,
  version       integer NOT NULL CHECK (version >= 1),
  name          text NOT NULL,
  zone          text NOT NULL,
  -- NULL: the currency of the price book.
  currency      text CHECK (currency ~ '^[A-Z]{3}$'),
  tax_rate      text,
  tax_inclusive boolean NOT NULL DEFAULT false,
  tax_exemption text NOT NULL DEFAULT '',
  recorded_at   timestamptz(3) NOT NULL,
  PRIMARY KEY (customer_id, version)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.customer_versions
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

CREATE TABLE billing.providers (
  provider_id  text PRIMARY KEY,
  name         text NOT NULL,
  currency     text CHECK (currency ~ '^[A-Z]{3}$'),
  -- A fraction in decimal text. NULL: nothing is agreed yet, so nothing is booked as payable.
  payout_share text,
  created_at   timestamptz(3) NOT NULL,
  updated_at   timestamptz(3) NOT NULL
);

CREATE TABLE billing.price_books (
  version        integer PRIMARY KEY CHECK (version >= 1),
  currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  effective_from timestamptz(3) NOT NULL,
  rates          jsonb NOT NULL,
  digest         text NOT NULL UNIQUE,
  recorded_at    timestamptz(3) NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.price_books
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();

CREATE TABLE billing.contracts (
  contract_id     text NOT NULL,
  version         integer NOT NULL CHECK (version >= 1),
  customer_id     text NOT NULL REFERENCES billing.customers,
  effective_from  timestamptz(3) NOT NULL,
  effective_until timestamptz(3) CHECK (effective_until > effective_from),
  terms           jsonb NOT NULL,
  digest          text NOT NULL,
  recorded_at     timestamptz(3) NOT NULL,
  PRIMARY KEY (contract_id, version)
);
CREATE INDEX contracts_of_customer ON billing.contracts (customer_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.contracts
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
