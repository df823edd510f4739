-- Lease events are the truth; leases and segments are what they mean now, kept in the same transaction.
CREATE TABLE billing.lease_events (
  -- Events are written under one lock, so positions grow in the order of commits and can serve as a cut-off.
  position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id    text NOT NULL UNIQUE,
  lease_id    text NOT NULL,
  type        text NOT NULL CHECK (type IN ('started', 'ended', 'amended', 'cancelled')),
  at          timestamptz(3) NOT NULL,
  columns     jsonb NOT NULL,
  customer_id text GENERATED ALWAYS AS (columns ->> 'customer_id') STORED,
  recorded_at timestamptz(3) NOT NULL,
  source      text NOT NULL CHECK (source IN ('api', 'csv', 'bus', 'watcher', 'watcher-inferred'))
);
CREATE INDEX lease_events_of_lease ON billing.lease_events (lease_id, position);
CREATE INDEX lease_events_of_customer ON billing.lease_events (customer_id, at) WHERE customer_id IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing.lease_events
  FOR EACH ROW EXECUTE FUNCTION billing.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.lease_events
  FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

CREATE TABLE billing.leases (
  lease_id       text PRIMARY KEY,
  state          text NOT NULL CHECK (state IN ('running', 'ended', 'cancelled', 'incomplete')),
  -- NULL only while the lease is incomplete. Of an amended lease, its last columns.
  customer_id    text REFERENCES billing.customers,
  project        text,
  provider_id    text REFERENCES billing.providers,
  pool           text,
  node           text,
  gpu_uuid       text,
  gpu_instance   text,
  gpu_index      integer,
  gpu_model      text,
  share          text,
  pricing_mode   text,
  labels         jsonb,
  started_at     timestamptz(3),
  ended_at       timestamptz(3),
  recorded_at    timestamptz(3) NOT NULL,
  position       bigint NOT NULL,
  first_position bigint NOT NULL,
  -- The leases that hold the share already; empty unless this one is held.
  overlaps_with  text[] NOT NULL DEFAULT '{}',
  CHECK (state NOT IN ('running', 'ended') OR (customer_id IS NOT NULL AND gpu_uuid IS NOT NULL AND started_at IS NOT NULL))
);
CREATE INDEX leases_of_customer ON billing.leases (customer_id, started_at);
CREATE INDEX leases_of_provider ON billing.leases (provider_id, started_at);
CREATE INDEX leases_by_start ON billing.leases (started_at, lease_id);
CREATE INDEX leases_running ON billing.leases (pool) WHERE state = 'running';

CREATE AGGREGATE billing.least_common_multiple(numeric) (SFUNC = lcm, STYPE = numeric, INITCOND = '1');

CREATE TABLE billing.lease_segments (
  lease_id          text NOT NULL REFERENCES billing.leases,
  segment           integer NOT NULL,
  customer_id       text NOT NULL,
  provider_id       text NOT NULL,
  gpu_uuid          text NOT NULL,
  gpu_instance      text NOT NULL,
  share_numerator   numeric NOT NULL CHECK (share_numerator > 0),
  share_denominator numeric NOT NULL CHECK (share_denominator >= share_numerator),
  period            tstzrange NOT NULL CHECK (NOT isempty(period)),
  -- A lease that overlaps with an earlier one counts for nothing until somebody decides.
  held              boolean NOT NULL,
  PRIMARY KEY (lease_id, segment),
  CONSTRAINT no_two_leases_of_one_whole_gpu
    EXCLUDE USING gist (gpu_uuid WITH =, gpu_instance WITH =, period WITH &&)
    WHERE (share_numerator = share_denominator AND NOT held)
);
CREATE INDEX lease_segments_of_gpu ON billing.lease_segments USING gist (gpu_uuid, period);
CREATE INDEX lease_segments_of_customer ON billing.lease_segments USING gist (customer_id, period);

-- Shares of one GPU instance add up to at most 1, exactly. The sum can only rise where a segment begins.
CREATE FUNCTION billing.check_share_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    WITH beside AS (
      SELECT * FROM billing.lease_segments AS s
      WHERE s.gpu_uuid = NEW.gpu_uuid AND s.gpu_instance = NEW.gpu_instance AND NOT s.held AND s.period && NEW.period
    ),
    common AS (SELECT billing.least_common_multiple(share_denominator) AS value FROM beside),
    instants AS (SELECT DISTINCT greatest(lower(period), lower(NEW.period)) AS at FROM beside)
    SELECT FROM instants JOIN beside ON beside.period @> instants.at CROSS JOIN common
    GROUP BY instants.at, common.value
    HAVING sum(beside.share_numerator * (common.value / beside.share_denominator)) > common.value
  ) THEN
    RAISE EXCEPTION 'the shares of GPU % would add up to more than 1 during lease %', NEW.gpu_uuid, NEW.lease_id
      USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'shares_of_a_gpu_at_most_one';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER shares_of_a_gpu_at_most_one AFTER INSERT OR UPDATE ON billing.lease_segments
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NOT NEW.held) EXECUTE FUNCTION billing.check_share_sum();

-- When a pool's scheduler was last read, and which of its leases were seen then.
CREATE TABLE billing.watchers (
  pool      text PRIMARY KEY,
  looked_at timestamptz(3) NOT NULL
);
CREATE TABLE billing.watched_leases (
  lease_id     text PRIMARY KEY,
  pool         text NOT NULL,
  last_seen_at timestamptz(3) NOT NULL
);
CREATE INDEX watched_leases_of_pool ON billing.watched_leases (pool);
