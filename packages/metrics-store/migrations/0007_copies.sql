-- Copies, for charts and joins, of what PostgreSQL holds. The outboxes write them; the highest version of an id wins and
-- is_deleted hides it. Money and invoices are never computed from them.

CREATE TABLE IF NOT EXISTS leases
(
    lease_id String COMMENT 'Id of the lease.',
    customer_id LowCardinality(String) COMMENT 'Customer that holds the lease.',
    project LowCardinality(String) DEFAULT '' COMMENT 'Project of the customer.',
    provider_id LowCardinality(String) COMMENT 'Provider that owns the hardware.',
    pool LowCardinality(String) COMMENT 'Pool of the node.',
    node LowCardinality(String) COMMENT 'Node of the GPU.',
    gpu_uuid LowCardinality(String) COMMENT 'GPU that is leased.',
    gpu_instance LowCardinality(String) DEFAULT '' COMMENT 'MIG instance; empty for a share of the whole GPU.',
    gpu_index UInt8 DEFAULT 0 COMMENT 'Index on the node when the lease began: a label.',
    gpu_model LowCardinality(String) COMMENT 'Product name of the GPU.',
    share String DEFAULT '1' COMMENT 'Leased share of the GPU: 1, or a fraction such as 1/7.',
    pricing_mode LowCardinality(String) DEFAULT 'on_demand' COMMENT 'on_demand, reserved or spot.',
    started_at DateTime64(3, 'UTC') COMMENT 'Start, UTC, inclusive.',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'End, UTC, exclusive; NULL while it runs.',
    recorded_at DateTime64(3, 'UTC') COMMENT 'Time at which the last change was recorded, UTC.',
    version UInt64 COMMENT 'Grows with every change of the lease.',
    is_deleted UInt8 DEFAULT 0 COMMENT '1 = cancelled.',
    share_ratio Float64 ALIAS toFloat64(splitByChar('/', share)[1]) / toFloat64(if(position(share, '/') = 0, '1', splitByChar('/', share)[2])) COMMENT 'The share as a number, for charts only; never for money.'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY lease_id
COMMENT 'Copy of billing.leases_v1. Read with FINAL.';

CREATE TABLE IF NOT EXISTS incidents
(
    id String COMMENT 'Id of the incident.',
    code LowCardinality(String) COMMENT 'What it is, such as xid-79.',
    title String DEFAULT '' COMMENT 'One line for people.',
    severity LowCardinality(String) DEFAULT '' COMMENT 'Severity.',
    status LowCardinality(String) COMMENT 'open, acknowledged, verifying, resolved or expired.',
    blame LowCardinality(String) DEFAULT 'unknown' COMMENT 'hardware, application or unknown.',
    billing_class LowCardinality(String) DEFAULT '' COMMENT 'B billable, C credited, H held.',
    gpu_uuids Array(LowCardinality(String)) DEFAULT [] COMMENT 'GPUs that it touches.',
    node LowCardinality(String) DEFAULT '' COMMENT 'Node.',
    pool LowCardinality(String) DEFAULT '' COMMENT 'Pool of the node.',
    provider_id LowCardinality(String) DEFAULT '' COMMENT 'Provider that owns the hardware.',
    opened_at DateTime64(3, 'UTC') COMMENT 'Time at which it began, UTC.',
    cleared_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Time at which the fault was over, UTC; NULL while it lasts.',
    policy_version String DEFAULT '' COMMENT 'Version of the fault policy that classified it.',
    evidence_count UInt32 DEFAULT 0 COMMENT 'Number of pieces of evidence.',
    affected_lease_ids Array(String) DEFAULT [] COMMENT 'Leases that it touches.',
    runbook_url String DEFAULT '' COMMENT 'What to do about it.',
    version UInt64 COMMENT 'Grows with every change of the incident.',
    is_deleted UInt8 DEFAULT 0 COMMENT '1 = withdrawn.'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY id
COMMENT 'Copy of alerts.incidents_v1. Read with FINAL.';

CREATE TABLE IF NOT EXISTS billable_intervals
(
    interval_id String COMMENT 'Id that follows from the lease and the start of the interval.',
    lease_id String COMMENT 'Lease that it is cut from.',
    customer_id LowCardinality(String) COMMENT 'Customer.',
    project LowCardinality(String) DEFAULT '' COMMENT 'Project of the customer.',
    provider_id LowCardinality(String) COMMENT 'Provider that owns the hardware.',
    pool LowCardinality(String) COMMENT 'Pool of the node.',
    node LowCardinality(String) COMMENT 'Node of the GPU.',
    gpu_uuid LowCardinality(String) COMMENT 'GPU.',
    gpu_instance LowCardinality(String) DEFAULT '' COMMENT 'MIG instance; empty for the whole GPU.',
    gpu_model LowCardinality(String) COMMENT 'Product name of the GPU.',
    pricing_mode LowCardinality(String) DEFAULT 'on_demand' COMMENT 'on_demand, reserved or spot.',
    share String DEFAULT '1' COMMENT 'Share of the GPU: 1, or a fraction such as 1/7.',
    started_at DateTime64(3, 'UTC') COMMENT 'Start, UTC, inclusive.',
    ended_at DateTime64(3, 'UTC') COMMENT 'End, UTC, exclusive.',
    gpu_ms String COMMENT 'GPU time in milliseconds, exact: an integer or a fraction such as 3600000/7.',
    gpu_hours Decimal(38, 9) COMMENT 'GPU time in hours, rounded to 9 places, for charts.',
    outcome LowCardinality(String) COMMENT 'billed, excluded or held.',
    reason LowCardinality(String) DEFAULT '' COMMENT 'Why it is excluded or held.',
    incident_id String DEFAULT '' COMMENT 'Incident that cut it out; empty for none.',
    unit_price Nullable(Decimal(38, 9)) COMMENT 'Price per GPU-hour; NULL when there is none.',
    amount Nullable(Decimal(38, 9)) COMMENT 'Share of the line in the currency, for charts; the invoice line is the truth.',
    currency LowCardinality(String) DEFAULT '' COMMENT 'ISO 4217 code.',
    price_version String DEFAULT '' COMMENT 'Version of the price book.',
    invoice_id String DEFAULT '' COMMENT 'Invoice that it stands on; empty for none yet.',
    version UInt64 COMMENT 'Grows with every change of the interval.',
    is_deleted UInt8 DEFAULT 0 COMMENT '1 = replaced by other cuts.'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (lease_id, interval_id)
COMMENT 'Copy of the rated intervals of billing. Read with FINAL.';

CREATE TABLE IF NOT EXISTS scaling_decisions
(
    id String COMMENT 'Id of the decision.',
    pool LowCardinality(String) COMMENT 'Pool that it is about.',
    decided_at DateTime64(3, 'UTC') COMMENT 'Time of the decision, UTC.',
    mode LowCardinality(String) COMMENT 'recommend or act.',
    action LowCardinality(String) COMMENT 'none, scale_out, scale_in, replace or cordon.',
    targets String DEFAULT '[]' COMMENT 'Nodes or counts that it names, JSON.',
    reasons String DEFAULT '[]' COMMENT 'Why, JSON.',
    rejected String DEFAULT '[]' COMMENT 'Other candidates, each with the reason against it, JSON.',
    guards String DEFAULT '[]' COMMENT 'Guards that spoke, JSON.',
    policy_digest String DEFAULT '' COMMENT 'Digest of the policy.',
    input_digest String DEFAULT '' COMMENT 'Digest of what was observed.',
    forecast String DEFAULT '{}' COMMENT 'The forecast that it used, JSON.',
    outcome String DEFAULT '{}' COMMENT 'What came of it, JSON.',
    status LowCardinality(String) DEFAULT '' COMMENT 'Where it stands.',
    version UInt64 COMMENT 'Grows with every change of the decision.',
    is_deleted UInt8 DEFAULT 0 COMMENT '1 = withdrawn.'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (pool, decided_at, id)
COMMENT 'Copy of autoscaler.decisions_v1. Read with FINAL.';
