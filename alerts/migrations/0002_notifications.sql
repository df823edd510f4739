-- Who is told of what. A message is written in the transaction that marks its incidents as told, and sent afterwards: a
-- crash repeats the sending under the same id, it never loses a message.
CREATE TABLE alerts.notifications (
  notification_id text PRIMARY KEY,
  channel         text NOT NULL,
  -- What its incidents have in common, by the channel's group_by.
  group_key       text NOT NULL,
  status          text NOT NULL CHECK (status IN ('waiting', 'sent', 'failed')),
  -- Incidents and what is told of each: [{"incident_id", "state": "firing"|"resolved", "severity"}].
  items           jsonb NOT NULL,
  created_at      timestamptz(3) NOT NULL,
  due_at          timestamptz(3) NOT NULL,
  attempts        integer NOT NULL DEFAULT 0,
  last_fault      text,
  sent_at         timestamptz(3)
);
CREATE INDEX notifications_due ON alerts.notifications (due_at) WHERE status = 'waiting';

-- What each channel was last told of an incident.
CREATE TABLE alerts.told (
  channel     text NOT NULL,
  incident_id text NOT NULL REFERENCES alerts.incidents,
  state       text NOT NULL CHECK (state IN ('firing', 'resolved')),
  severity    text NOT NULL,
  at          timestamptz(3) NOT NULL,
  PRIMARY KEY (channel, incident_id)
);
CREATE INDEX told_firing ON alerts.told (channel) WHERE state = 'firing';

CREATE TABLE alerts.silences (
  silence_id text PRIMARY KEY,
  -- Columns of an incident and the values that they may have: {"node": ["gpu-01"], "code": ["gpu-hot"]}.
  matches    jsonb NOT NULL,
  starts_at  timestamptz(3) NOT NULL,
  ends_at    timestamptz(3) NOT NULL,
  reason     text NOT NULL,
  created_by text NOT NULL,
  CHECK (ends_at > starts_at)
);
