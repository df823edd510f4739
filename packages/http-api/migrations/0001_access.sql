-- Who may call the API, which answers were already given, and who changed what.
CREATE SCHEMA IF NOT EXISTS access;

-- API tokens. The token itself is shown once, at its creation; only its SHA-256 is kept.
CREATE TABLE access.tokens (
  token_id      text PRIMARY KEY,
  token_hash    bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  name          text NOT NULL,
  scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
  binding_kind  text NOT NULL CHECK (binding_kind IN ('operator', 'customer', 'provider')),
  binding_id    text,
  created_at    timestamptz(3) NOT NULL,
  last_used_at  timestamptz(3),
  revoked_at    timestamptz(3),
  CHECK ((binding_kind = 'operator') = (binding_id IS NULL))
);

-- Codes in sign-in links: good once, and for a short time.
CREATE TABLE access.sign_in_codes (
  code_hash   bytea PRIMARY KEY CHECK (length(code_hash) = 32),
  token_id    text NOT NULL REFERENCES access.tokens (token_id),
  expires_at  timestamptz(3) NOT NULL,
  used_at     timestamptz(3)
);

-- Browser sessions. A session can do what its token can, and ends with it.
CREATE TABLE access.sessions (
  session_hash  bytea PRIMARY KEY CHECK (length(session_hash) = 32),
  token_id      text NOT NULL REFERENCES access.tokens (token_id),
  created_at    timestamptz(3) NOT NULL,
  expires_at    timestamptz(3) NOT NULL
);
CREATE INDEX sessions_expires_at ON access.sessions (expires_at);

-- The first answer to each Idempotency-Key. A row without a status is a request in hand until locked_until.
CREATE TABLE access.idempotency_keys (
  token_id      text NOT NULL,
  key           text NOT NULL,
  fingerprint   bytea NOT NULL,
  created_at    timestamptz(3) NOT NULL,
  locked_until  timestamptz(3) NOT NULL,
  status        smallint,
  headers       jsonb,
  body          bytea,
  PRIMARY KEY (token_id, key)
);
CREATE INDEX idempotency_keys_created_at ON access.idempotency_keys (created_at);

-- Who did what to which object. Append-only: a trigger refuses everything else, whoever asks.
CREATE TABLE access.audit_log (
  entry_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz(3) NOT NULL,
  token_id      text NOT NULL,
  binding_kind  text NOT NULL,
  binding_id    text,
  action        text NOT NULL,
  object_kind   text NOT NULL,
  object_id     text NOT NULL,
  request_id    text,
  details       jsonb NOT NULL
);
CREATE INDEX audit_log_object ON access.audit_log (object_kind, object_id, entry_id);

CREATE FUNCTION access.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'access.audit_log is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON access.audit_log
  FOR EACH ROW EXECUTE FUNCTION access.refuse_change();

CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON access.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION access.refuse_change();
