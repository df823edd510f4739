-- Pools, the policies and observations that decisions were made from, and the decisions themselves.
CREATE SCHEMA IF NOT EXISTS autoscaler;

CREATE SEQUENCE autoscaler.revisions;

CREATE TABLE autoscaler.pools (
  id              text PRIMARY KEY,
  provider_id     text NOT NULL,
  -- NULL: the pool is measured, never scaled.
  scheduler_kind  text,
  node_patterns   jsonb NOT NULL,
  configured_mode text NOT NULL CHECK (configured_mode IN ('recommend', 'scale_out', 'full')),
  -- Set over the API; wins over the configured one until it is taken back.
  mode_override   text CHECK (mode_override IN ('recommend', 'scale_out', 'full')),
  paused          boolean NOT NULL DEFAULT false,
  policy_digest   text NOT NULL,
  -- As last observed.
  nodes           jsonb NOT NULL DEFAULT '[]',
  observed_at     timestamptz(3),
  updated_at      timestamptz(3) NOT NULL
);

CREATE TABLE autoscaler.policies (
  digest   text PRIMARY KEY,
  document jsonb NOT NULL,
  seen_at  timestamptz(3) NOT NULL
);

-- The complete observation behind a decision, as gzipped canonical JSON: replay recomputes from these bytes.
CREATE TABLE autoscaler.inputs (
  digest   text PRIMARY KEY,
  document bytea NOT NULL,
  seen_at  timestamptz(3) NOT NULL
);
CREATE INDEX inputs_by_age ON autoscaler.inputs (seen_at);

CREATE TABLE autoscaler.decisions (
  id            text PRIMARY KEY,
  pool          text NOT NULL,
  decided_at    timestamptz(3) NOT NULL,
  mode          text NOT NULL,
  action        text NOT NULL CHECK (action IN ('none', 'scale_out', 'scale_in', 'replace', 'cordon')),
  status        text NOT NULL CHECK (status IN
    ('none', 'recommended', 'held', 'approved', 'acting', 'done', 'failed', 'refused', 'superseded')),
  targets       jsonb NOT NULL,
  -- What is asked of the scheduler, step by step, and how far it got.
  steps         jsonb NOT NULL,
  reasons       jsonb NOT NULL,
  rejected      jsonb NOT NULL,
  guards        jsonb NOT NULL,
  forecast      jsonb NOT NULL,
  policy_digest text NOT NULL REFERENCES autoscaler.policies (digest),
  input_digest  text NOT NULL,
  code_version  text NOT NULL,
  signature     text NOT NULL,
  outcome       jsonb,
  approved_by   text,
  acted_at      timestamptz(3),
  finished_at   timestamptz(3),
  updated_at    timestamptz(3) NOT NULL,
  revision      bigint NOT NULL DEFAULT nextval('autoscaler.revisions')
);
CREATE INDEX decisions_by_time ON autoscaler.decisions (decided_at DESC, id DESC);
CREATE INDEX decisions_by_pool ON autoscaler.decisions (pool, decided_at DESC, id DESC);
CREATE INDEX decisions_open ON autoscaler.decisions (pool) WHERE status IN ('recommended', 'held', 'approved', 'acting');

-- GPUs asked for at each look, for the forecast.
CREATE TABLE autoscaler.demand_points (
  pool        text NOT NULL,
  observed_at timestamptz(3) NOT NULL,
  gpus        integer NOT NULL,
  PRIMARY KEY (pool, observed_at)
);

CREATE TABLE autoscaler.outbox (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic        text NOT NULL,
  key          text NOT NULL,
  headers      jsonb NOT NULL,
  value        bytea NOT NULL,
  written_at   timestamptz(3) NOT NULL DEFAULT now(),
  published_at timestamptz(3)
);
CREATE INDEX outbox_waiting ON autoscaler.outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON autoscaler.outbox (published_at) WHERE published_at IS NOT NULL;

CREATE VIEW autoscaler.decisions_v1 AS
SELECT id, pool, decided_at, mode, action, targets, reasons, rejected, guards, policy_digest, input_digest, forecast,
  outcome, status, revision
FROM autoscaler.decisions;

CREATE VIEW autoscaler.pools_v1 AS
SELECT id, scheduler_kind, coalesce(mode_override, configured_mode) AS mode, paused, nodes, provider_id, node_patterns,
  observed_at
FROM autoscaler.pools;
