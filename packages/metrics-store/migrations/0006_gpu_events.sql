-- What happens rather than what is: one row per event, however often its line was read.

CREATE TABLE IF NOT EXISTS gpu_events
(
    ts DateTime64(3, 'UTC') COMMENT 'Time of the event by the clock of the node, UTC.' CODEC(DoubleDelta, ZSTD(1)),
    node LowCardinality(String) COMMENT 'Stable id of the node; part of the identity.',
    boot_id LowCardinality(String) COMMENT 'Boot of the node in which it happened; part of the identity.',
    kind LowCardinality(String) COMMENT 'Kind, such as xid, sxid, gpu.lost, source.down; part of the identity.',
    sequence UInt64 COMMENT 'Sequence of the kernel for log lines, of the agent otherwise; part of the identity.',
    gpu_uuid LowCardinality(String) DEFAULT '' COMMENT 'UUID of the GPU; empty when only the node is known.',
    gpu_instance LowCardinality(String) DEFAULT '' COMMENT 'MIG instance as GI id/generation; empty for the whole GPU.',
    pool LowCardinality(String) DEFAULT '' COMMENT 'Pool that the node belongs to.',
    provider_id LowCardinality(String) DEFAULT '' COMMENT 'Provider that owns the hardware.',
    code UInt32 DEFAULT 0 COMMENT 'Xid or SXid number; 0 where the kind has none.',
    message String DEFAULT '' COMMENT 'The raw line, as evidence.' CODEC(ZSTD(3)),
    detail String DEFAULT '{}' COMMENT 'More about it, a JSON object.' CODEC(ZSTD(3)),
    demo Bool DEFAULT false COMMENT 'True when the demo pool made it up.',
    bus_partition Int32 COMMENT 'Partition of the message that brought it.',
    bus_offset UInt64 COMMENT 'Offset of the message that brought it. Readers go by (bus_partition, bus_offset), which only grows.',
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'Time at which the store got it, UTC.' CODEC(DoubleDelta, ZSTD(1)),
    first_copy_wins UInt64 MATERIALIZED bitNot(bus_offset) COMMENT 'Version for ReplacingMergeTree: of two copies of one event, the one read first stays, so that its position never changes.',
    INDEX bus_offset_range bus_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(first_copy_wins)
ORDER BY (node, boot_id, kind, sequence)
TTL toDateTime(ingested_at) + INTERVAL 5 YEAR DELETE
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Events of GPUs, nodes and sources. Read with FINAL; follow by bus position, never by clock.';
