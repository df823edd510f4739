-- What the guards remember: a pause of scale-in alone, one switch that stops every pool, and who decides.
ALTER TABLE autoscaler.pools ADD COLUMN scale_in_paused boolean NOT NULL DEFAULT false;

CREATE TABLE autoscaler.kill_switch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  pulled   boolean NOT NULL DEFAULT false,
  at       timestamptz(3)
);
INSERT INTO autoscaler.kill_switch DEFAULT VALUES;

-- The fence: whoever takes over raises the epoch; a write that carries an older one is refused.
CREATE TABLE autoscaler.leader (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch    bigint NOT NULL DEFAULT 0,
  since    timestamptz(3)
);
INSERT INTO autoscaler.leader DEFAULT VALUES;

CREATE INDEX decisions_acted ON autoscaler.decisions (pool, acted_at) WHERE acted_at IS NOT NULL;
