-- What comparisons with peers found: evidence that is made once per step of time, for all nodes together, and kept.
CREATE TABLE alerts.peer_findings (
  node       text NOT NULL,
  gpu_uuid   text NOT NULL,
  signal     text NOT NULL,
  started_at timestamptz(3) NOT NULL,
  ended_at   timestamptz(3) NOT NULL,
  value      double precision NOT NULL,
  PRIMARY KEY (node, gpu_uuid, signal, started_at)
);
CREATE INDEX peer_findings_by_time ON alerts.peer_findings (started_at);

-- The last step that was compared.
CREATE TABLE alerts.peer_mark (
  only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  started_at timestamptz(3) NOT NULL
);
