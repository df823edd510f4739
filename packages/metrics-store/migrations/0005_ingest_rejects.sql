-- What could not be stored, with the reason: nothing is dropped uncounted.

CREATE TABLE IF NOT EXISTS ingest_rejects
(
    rejected_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'Time at which the row was refused, UTC.',
    source LowCardinality(String) COMMENT 'Where it was refused: the name of a table, or of the check of a service.',
    reasons Array(LowCardinality(String)) COMMENT 'Every check that it failed, in words.',
    ts DateTime64(3, 'UTC') COMMENT 'Time that the row claims, UTC.',
    node LowCardinality(String) DEFAULT '' COMMENT 'Node that the row claims.',
    gpu_uuid LowCardinality(String) DEFAULT '' COMMENT 'GPU that the row claims.',
    gpu_instance LowCardinality(String) DEFAULT '' COMMENT 'MIG instance that the row claims.',
    pool LowCardinality(String) DEFAULT '' COMMENT 'Pool that the row claims.',
    provider_id LowCardinality(String) DEFAULT '' COMMENT 'Provider that the row claims.',
    row String COMMENT 'The row as it came, JSON of the stored columns.' CODEC(ZSTD(3)),
    topic LowCardinality(String) DEFAULT '' COMMENT 'Topic of the message, where a service refused it.',
    bus_partition Int32 DEFAULT -1 COMMENT 'Partition of the message; -1 = not known.',
    bus_offset Int64 DEFAULT -1 COMMENT 'Offset of the message; -1 = not known.'
)
ENGINE = MergeTree
ORDER BY (source, rejected_at)
TTL toDateTime(rejected_at) + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Rows refused on the way in, with every reason.';

CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_rejects_from_samples TO ingest_rejects AS
SELECT
    'gpu_samples' AS source,
    arrayMap(bit -> [
        'gpu_uuid is empty',
        'node is empty',
        'ts is before 2000 or more than a day ahead',
        'gpu_util_ratio is above 1',
        'memory_copy_util_ratio is above 1',
        'graphics_engine_active_ratio is above 1',
        'sm_active_ratio is above 1',
        'sm_occupancy_ratio is above 1',
        'tensor_active_ratio is above 1',
        'dram_active_ratio is above 1',
        'memory_used_bytes is above memory_total_bytes',
        'memory_total_bytes is above 16 TiB',
        'power_watts is above 5000',
        'temperature_celsius is above 150',
        'memory_temperature_celsius is above 150',
        'sm_clock_mhz is above 10000',
        'memory_clock_mhz is above 20000',
        'energy_joules is above 4.3e12',
        'row_remap_state has unknown bits'
    ][bit + 1], bitPositionsToArray(reject_bits)) AS reasons,
    ts,
    node,
    gpu_uuid,
    gpu_instance,
    pool,
    provider_id,
    formatRowNoNewline('JSONEachRow',
        ts,
        ingested_at,
        node,
        gpu_uuid,
        gpu_instance,
        gpu_instance_profile,
        gpu_model,
        pool,
        provider_id,
        gpu_index,
        lease_id,
        raw_gpu_util_ratio,
        raw_memory_copy_util_ratio,
        raw_graphics_engine_active_ratio,
        raw_sm_active_ratio,
        raw_sm_occupancy_ratio,
        raw_tensor_active_ratio,
        raw_dram_active_ratio,
        raw_memory_used_bytes,
        raw_memory_total_bytes,
        raw_power_watts,
        raw_power_limit_watts,
        raw_energy_joules,
        energy_epoch,
        raw_temperature_celsius,
        raw_memory_temperature_celsius,
        raw_temperature_margin_celsius,
        raw_sm_clock_mhz,
        raw_memory_clock_mhz,
        raw_throttle_reasons,
        raw_pcie_tx_bytes_per_second,
        raw_pcie_rx_bytes_per_second,
        raw_nvlink_bytes_per_second,
        raw_pcie_replay_total,
        raw_ecc_correctable_total,
        raw_ecc_uncorrectable_total,
        raw_row_remap_correctable_total,
        raw_row_remap_uncorrectable_total,
        raw_row_remap_state,
        raw_recovery_action,
        raw_last_xid,
        flags
    ) AS row
FROM gpu_samples_in
WHERE reject_bits != 0;
