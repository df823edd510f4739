-- The fault monitor's memory. Everything that a decision about money needs is written in the transaction that moves
-- the read positions: a crash repeats work, it never loses or doubles a verdict.
CREATE SCHEMA IF NOT EXISTS alerts;

-- How far the events on the bus have had their effect.
CREATE TABLE alerts.positions (
  bus_partition integer PRIMARY KEY,
  bus_offset    bigint NOT NULL,
  updated_at    timestamptz(3) NOT NULL DEFAULT now()
);

-- How many samples of each past hour the verdicts have taken into account.
CREATE TABLE alerts.evaluated_hours (
  node    text NOT NULL,
  hour    timestamptz(3) NOT NULL,
  samples bigint NOT NULL,
  PRIMARY KEY (node, hour)
);

-- Up to when leases, as billing recorded them, were taken into account.
CREATE TABLE alerts.lease_mark (
  only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  recorded_at timestamptz(3) NOT NULL
);

-- One counter for every change. Its row lock makes the order of revisions the order of commits.
CREATE TABLE alerts.revision (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  value    bigint NOT NULL
);
INSERT INTO alerts.revision (value) VALUES (0);

CREATE TABLE alerts.incidents (
  incident_id          text PRIMARY KEY,
  code                 text NOT NULL,
  title                text NOT NULL,
  severity             text NOT NULL CHECK (severity IN ('info', 'warn', 'critical', 'fatal')),
  action               text NOT NULL,
  status               text NOT NULL CHECK (status IN ('open', 'acknowledged', 'verifying', 'resolved', 'expired')),
  reason               text NOT NULL,
  blame                text NOT NULL CHECK (blame IN ('hardware', 'application', 'unknown')),
  billing_class        text NOT NULL CHECK (billing_class IN ('B', 'C', 'H')),
  node                 text NOT NULL,
  pool                 text NOT NULL,
  provider_id          text NOT NULL,
  -- What it is about: '' for the whole node.
  subject_gpu_uuid     text NOT NULL,
  subject_gpu_instance text NOT NULL,
  subject_pci_bus_id   text NOT NULL,
  gpu_uuids            text[] NOT NULL,
  opened_at            timestamptz(3) NOT NULL,
  last_evidence_at     timestamptz(3) NOT NULL,
  verifying_since      timestamptz(3),
  cleared_at           timestamptz(3),
  policy_version       text NOT NULL,
  evidence_count       bigint NOT NULL,
  affected_lease_ids   text[] NOT NULL,
  demo                 boolean NOT NULL,
  -- What the evidence no longer supports, because later evidence belongs to another incident.
  withdrawn            boolean NOT NULL DEFAULT false,
  acknowledged_at      timestamptz(3),
  -- An operator's word on class and blame; it stands whatever the policy says.
  classified_class     text CHECK (classified_class IN ('B', 'C', 'H')),
  classified_blame     text CHECK (classified_blame IN ('hardware', 'application', 'unknown')),
  content_digest       text NOT NULL,
  revision             bigint NOT NULL,
  created_at           timestamptz(3) NOT NULL DEFAULT now(),
  updated_at           timestamptz(3) NOT NULL DEFAULT now(),
  CHECK (cleared_at IS NULL OR cleared_at >= opened_at)
);
CREATE INDEX incidents_of_node ON alerts.incidents (node, opened_at);
CREATE INDEX incidents_uncleared ON alerts.incidents (node) WHERE cleared_at IS NULL;
CREATE INDEX incidents_by_time ON alerts.incidents (opened_at DESC, incident_id DESC);

-- The raw lines and stretches behind an incident: the first of each code and up to a stated number; the incident's
-- evidence_count counts all.
CREATE TABLE alerts.incident_evidence (
  incident_id   text NOT NULL REFERENCES alerts.incidents,
  evidence_id   text NOT NULL,
  ts            timestamptz(3) NOT NULL,
  until         timestamptz(3),
  kind          text NOT NULL,
  code          integer NOT NULL,
  fault_code    text NOT NULL,
  gpu_uuid      text NOT NULL,
  message       text NOT NULL,
  bus_partition integer,
  bus_offset    bigint,
  PRIMARY KEY (incident_id, evidence_id)
);

CREATE TABLE alerts.verdicts (
  verdict_id       text PRIMARY KEY,
  incident_id      text NOT NULL REFERENCES alerts.incidents,
  code             text NOT NULL,
  gpu_uuid         text NOT NULL,
  gpu_instance     text NOT NULL,
  node             text NOT NULL,
  started_at       timestamptz(3) NOT NULL,
  ended_at         timestamptz(3),
  billing_class    text NOT NULL CHECK (billing_class IN ('B', 'C', 'H')),
  blame            text NOT NULL CHECK (blame IN ('hardware', 'application', 'unknown')),
  policy_version   text NOT NULL,
  evidence_summary text NOT NULL,
  revision         bigint NOT NULL,
  CHECK (ended_at IS NULL OR ended_at >= started_at)
);
CREATE INDEX verdicts_of_incident ON alerts.verdicts (incident_id);
CREATE INDEX verdicts_of_gpu ON alerts.verdicts (gpu_uuid, started_at);
CREATE INDEX verdicts_by_revision ON alerts.verdicts (revision);

CREATE TABLE alerts.gpu_health (
  gpu_uuid    text PRIMARY KEY,
  node        text NOT NULL,
  pool        text NOT NULL,
  state       text NOT NULL CHECK (state IN ('healthy', 'faulty', 'verifying', 'unknown', 'lost')),
  since       timestamptz(3) NOT NULL,
  incident_id text REFERENCES alerts.incidents,
  revision    bigint NOT NULL
);
CREATE INDEX gpu_health_of_node ON alerts.gpu_health (node);

-- What people did to incidents, for ever: who, when, why, and what it changed.
CREATE TABLE alerts.operator_actions (
  action_id   text PRIMARY KEY,
  incident_id text NOT NULL REFERENCES alerts.incidents,
  kind        text NOT NULL CHECK (kind IN ('ack', 'resolve', 'classify')),
  at          timestamptz(3) NOT NULL,
  actor       text NOT NULL,
  reason      text NOT NULL,
  before      jsonb NOT NULL,
  after       jsonb NOT NULL
);
CREATE INDEX operator_actions_of_incident ON alerts.operator_actions (incident_id, at);

CREATE FUNCTION alerts.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'alerts.operator_actions is only ever added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER operator_actions_append_only
  BEFORE UPDATE OR DELETE OR TRUNCATE ON alerts.operator_actions
  FOR EACH STATEMENT EXECUTE FUNCTION alerts.refuse_change();

CREATE TABLE alerts.outbox (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic        text NOT NULL,
  key          text NOT NULL,
  headers      jsonb NOT NULL,
  value        bytea NOT NULL,
  written_at   timestamptz(3) NOT NULL DEFAULT now(),
  published_at timestamptz(3)
);
CREATE INDEX outbox_waiting ON alerts.outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON alerts.outbox (published_at) WHERE published_at IS NOT NULL;

-- What other services may read.

-- One row per incident and GPU. A withdrawn verdict has an empty interval, so that a reader by revision sees it end.
CREATE VIEW alerts.verdicts_v1 AS
SELECT verdict_id, incident_id, code, gpu_uuid, gpu_instance, node, started_at, ended_at, billing_class, blame,
       policy_version, revision, evidence_summary
FROM alerts.verdicts;

CREATE VIEW alerts.gpu_health_v1 AS
SELECT gpu_uuid, node, pool, state, since, incident_id
FROM alerts.gpu_health;

CREATE VIEW alerts.incidents_v1 AS
SELECT incident_id AS id, code, title, severity, action, status, reason, blame, billing_class, gpu_uuids, node, pool,
       provider_id, opened_at, last_evidence_at, verifying_since, cleared_at, policy_version, evidence_count,
       affected_lease_ids, 'docs/runbooks/' || code || '.md' AS runbook_url, demo, revision
FROM alerts.incidents
WHERE NOT withdrawn;
