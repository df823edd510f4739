-- The raw samples: one row per GPU or MIG instance and instant.
-- Writers insert into gpu_samples_in; rows within range go on to gpu_samples, others to ingest_rejects (0005).

CREATE TABLE IF NOT EXISTS gpu_samples
(
    ts DateTime64(3, 'UTC') COMMENT 'Time of collection by the agent, UTC, milliseconds.' CODEC(DoubleDelta, ZSTD(1)),
    ingested_at DateTime64(3, 'UTC') COMMENT 'Time at which the agent published the row, UTC, milliseconds.' CODEC(DoubleDelta, ZSTD(1)),
    node LowCardinality(String) COMMENT 'Stable id of the node that holds the GPU.' CODEC(ZSTD(1)),
    gpu_uuid LowCardinality(String) COMMENT 'UUID of the GPU: its identity wherever it moves.' CODEC(ZSTD(1)),
    gpu_instance LowCardinality(String) COMMENT 'MIG instance as GI id/generation such as 13/0; empty for the whole GPU.' CODEC(ZSTD(1)),
    gpu_instance_profile LowCardinality(String) COMMENT 'MIG profile such as 1g.10gb; empty for the whole GPU.' CODEC(ZSTD(1)),
    gpu_model LowCardinality(String) COMMENT 'Product name of the GPU.' CODEC(ZSTD(1)),
    pool LowCardinality(String) COMMENT 'Pool that the node belongs to.' CODEC(ZSTD(1)),
    provider_id LowCardinality(String) COMMENT 'Provider that owns the hardware.' CODEC(ZSTD(1)),
    gpu_index UInt8 COMMENT 'Index on its node: a label that changes on re-enumeration, never a key.' CODEC(ZSTD(1)),
    lease_id LowCardinality(String) COMMENT 'Lease as the labels of the scheduler say; evidence only, leases come from events.' CODEC(ZSTD(1)),
    raw_gpu_util_ratio UInt8 COMMENT 'Stored form of gpu_util_ratio: the value times 100, rounded; 255 = missing.' CODEC(ZSTD(1)),
    raw_memory_copy_util_ratio UInt8 COMMENT 'Stored form of memory_copy_util_ratio: the value times 100, rounded; 255 = missing.' CODEC(ZSTD(1)),
    raw_graphics_engine_active_ratio UInt16 COMMENT 'Stored form of graphics_engine_active_ratio: the value times 10000, rounded; 65535 = missing.' CODEC(T64, ZSTD(1)),
    raw_sm_active_ratio UInt16 COMMENT 'Stored form of sm_active_ratio: the value times 10000, rounded; 65535 = missing.' CODEC(T64, ZSTD(1)),
    raw_sm_occupancy_ratio UInt16 COMMENT 'Stored form of sm_occupancy_ratio: the value times 10000, rounded; 65535 = missing.' CODEC(T64, ZSTD(1)),
    raw_tensor_active_ratio UInt16 COMMENT 'Stored form of tensor_active_ratio: the value times 10000, rounded; 65535 = missing.' CODEC(T64, ZSTD(1)),
    raw_dram_active_ratio UInt16 COMMENT 'Stored form of dram_active_ratio: the value times 10000, rounded; 65535 = missing.' CODEC(T64, ZSTD(1)),
    raw_memory_used_bytes UInt32 COMMENT 'Stored form of memory_used_bytes: the value divided by 1048576, rounded; 4294967295 = missing.' CODEC(T64, ZSTD(1)),
    raw_memory_total_bytes UInt32 COMMENT 'Stored form of memory_total_bytes: the value divided by 1048576, rounded; 4294967295 = missing.' CODEC(ZSTD(1)),
    raw_power_watts UInt16 COMMENT 'Stored form of power_watts: the value times 10, rounded; 65535 = missing.' CODEC(T64, ZSTD(1)),
    raw_power_limit_watts UInt16 COMMENT 'Stored form of power_limit_watts: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    raw_energy_joules UInt64 COMMENT 'Stored form of energy_joules: the value itself, rounded; 18446744073709551615 = missing.' CODEC(Delta, ZSTD(1)),
    energy_epoch UInt16 COMMENT 'Number of resets of the energy counter so far; energies compare only within one epoch.' CODEC(ZSTD(1)),
    raw_temperature_celsius UInt8 COMMENT 'Stored form of temperature_celsius: the value itself, rounded; 255 = missing.' CODEC(ZSTD(1)),
    raw_memory_temperature_celsius UInt8 COMMENT 'Stored form of memory_temperature_celsius: the value itself, rounded; 255 = missing.' CODEC(ZSTD(1)),
    raw_temperature_margin_celsius Int8 COMMENT 'Stored form of temperature_margin_celsius: the value itself, rounded; 127 = missing.' CODEC(ZSTD(1)),
    raw_sm_clock_mhz UInt16 COMMENT 'Stored form of sm_clock_mhz: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    raw_memory_clock_mhz UInt16 COMMENT 'Stored form of memory_clock_mhz: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    raw_throttle_reasons UInt16 COMMENT 'Stored form of throttle_reasons: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    raw_pcie_tx_bytes_per_second UInt32 COMMENT 'Stored form of pcie_tx_bytes_per_second: the value divided by 65536, rounded; 4294967295 = missing.' CODEC(T64, ZSTD(1)),
    raw_pcie_rx_bytes_per_second UInt32 COMMENT 'Stored form of pcie_rx_bytes_per_second: the value divided by 65536, rounded; 4294967295 = missing.' CODEC(T64, ZSTD(1)),
    raw_nvlink_bytes_per_second UInt32 COMMENT 'Stored form of nvlink_bytes_per_second: the value divided by 65536, rounded; 4294967295 = missing.' CODEC(T64, ZSTD(1)),
    raw_pcie_replay_total UInt32 COMMENT 'Stored form of pcie_replay_total: the value itself, rounded; 4294967295 = missing.' CODEC(ZSTD(1)),
    raw_ecc_correctable_total UInt32 COMMENT 'Stored form of ecc_correctable_total: the value itself, rounded; 4294967295 = missing.' CODEC(ZSTD(1)),
    raw_ecc_uncorrectable_total UInt32 COMMENT 'Stored form of ecc_uncorrectable_total: the value itself, rounded; 4294967295 = missing.' CODEC(ZSTD(1)),
    raw_row_remap_correctable_total UInt16 COMMENT 'Stored form of row_remap_correctable_total: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    raw_row_remap_uncorrectable_total UInt16 COMMENT 'Stored form of row_remap_uncorrectable_total: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    raw_row_remap_state UInt8 COMMENT 'Stored form of row_remap_state: the value itself, rounded; 255 = missing.' CODEC(ZSTD(1)),
    raw_recovery_action UInt8 COMMENT 'Stored form of recovery_action: the value itself, rounded; 255 = missing.' CODEC(ZSTD(1)),
    raw_last_xid UInt16 COMMENT 'Stored form of last_xid: the value itself, rounded; 65535 = missing.' CODEC(ZSTD(1)),
    flags UInt8 COMMENT 'Bits: 1 repeat of an earlier collection, 2 partial scrape, 4 clock doubtful, 8 demo data.' CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'Time at which the store got the row, UTC. Rows are kept for 30 days after it, so history may be imported.' CODEC(DoubleDelta, ZSTD(1)),
    gpu_util_ratio Nullable(Float64) ALIAS nullIf(raw_gpu_util_ratio, 255) / 100 COMMENT 'Share of time in which a kernel ran, ratio 0 to 1; NULL when the exporter did not say. DCGM 203. Kept to 1/100: off by at most 0.005.',
    memory_copy_util_ratio Nullable(Float64) ALIAS nullIf(raw_memory_copy_util_ratio, 255) / 100 COMMENT 'Share of time in which memory was read or written, ratio 0 to 1; NULL when the exporter did not say. DCGM 204. Kept to 1/100: off by at most 0.005.',
    graphics_engine_active_ratio Nullable(Float64) ALIAS nullIf(raw_graphics_engine_active_ratio, 65535) / 10000 COMMENT 'Graphics or compute engine active, ratio 0 to 1; NULL when the exporter did not say. DCGM 1001. Kept to 1/10000: off by at most 0.00005.',
    sm_active_ratio Nullable(Float64) ALIAS nullIf(raw_sm_active_ratio, 65535) / 10000 COMMENT 'SMs with at least one warp, mean over SMs, ratio 0 to 1; NULL when the exporter did not say. DCGM 1002. Kept to 1/10000: off by at most 0.00005.',
    sm_occupancy_ratio Nullable(Float64) ALIAS nullIf(raw_sm_occupancy_ratio, 65535) / 10000 COMMENT 'Resident warps over the maximum, ratio 0 to 1; NULL when the exporter did not say. DCGM 1003. Kept to 1/10000: off by at most 0.00005.',
    tensor_active_ratio Nullable(Float64) ALIAS nullIf(raw_tensor_active_ratio, 65535) / 10000 COMMENT 'Tensor pipe active, ratio 0 to 1; NULL when the exporter did not say. DCGM 1004. Kept to 1/10000: off by at most 0.00005.',
    dram_active_ratio Nullable(Float64) ALIAS nullIf(raw_dram_active_ratio, 65535) / 10000 COMMENT 'Device memory interface active, ratio 0 to 1; NULL when the exporter did not say. DCGM 1005. Kept to 1/10000: off by at most 0.00005.',
    memory_used_bytes Nullable(UInt64) ALIAS toUInt64(nullIf(raw_memory_used_bytes, 4294967295)) * 1048576 COMMENT 'Device memory in use, bytes; NULL when the exporter did not say. DCGM 252. Kept to 1 MiB: off by at most half of that.',
    memory_total_bytes Nullable(UInt64) ALIAS toUInt64(nullIf(raw_memory_total_bytes, 4294967295)) * 1048576 COMMENT 'Device memory used, free and reserved together, bytes; NULL when the exporter did not say. DCGM 252 + 251 + 253. Kept to 1 MiB: off by at most half of that.',
    power_watts Nullable(Float64) ALIAS nullIf(raw_power_watts, 65535) / 10 COMMENT 'Power draw, watts; NULL when the exporter did not say. DCGM 155. Kept to 1/10: off by at most 0.05.',
    power_limit_watts Nullable(UInt16) ALIAS nullIf(raw_power_limit_watts, 65535) COMMENT 'Power limit in force, watts; NULL when the exporter did not say. DCGM 160. Kept to whole units: off by at most half a unit.',
    energy_joules Nullable(UInt64) ALIAS nullIf(raw_energy_joules, 18446744073709551615) COMMENT 'Energy since the epoch of the counter, joules; once per device, NULL on instance rows; NULL when the exporter did not say. DCGM 156. Kept to whole units: off by at most half a unit.',
    temperature_celsius Nullable(UInt8) ALIAS nullIf(raw_temperature_celsius, 255) COMMENT 'Core temperature, degrees Celsius; NULL when the exporter did not say. DCGM 150. Kept to whole units: off by at most half a unit.',
    memory_temperature_celsius Nullable(UInt8) ALIAS nullIf(raw_memory_temperature_celsius, 255) COMMENT 'Memory temperature, degrees Celsius; NULL when the exporter did not say. DCGM 140. Kept to whole units: off by at most half a unit.',
    temperature_margin_celsius Nullable(Int8) ALIAS nullIf(raw_temperature_margin_celsius, 127) COMMENT 'Distance to the slowdown temperature, degrees Celsius; negative when above it; NULL when the exporter did not say. DCGM 153. Kept to whole units: off by at most half a unit.',
    sm_clock_mhz Nullable(UInt16) ALIAS nullIf(raw_sm_clock_mhz, 65535) COMMENT 'SM clock, MHz; NULL when the exporter did not say. DCGM 100. Kept to whole units: off by at most half a unit.',
    memory_clock_mhz Nullable(UInt16) ALIAS nullIf(raw_memory_clock_mhz, 65535) COMMENT 'Memory clock, MHz; NULL when the exporter did not say. DCGM 101. Kept to whole units: off by at most half a unit.',
    throttle_reasons Nullable(UInt16) ALIAS nullIf(raw_throttle_reasons, 65535) COMMENT 'NVML clocks event reasons, bit mask; NULL when the exporter did not say. DCGM 112. Exact.',
    pcie_tx_bytes_per_second Nullable(UInt64) ALIAS toUInt64(nullIf(raw_pcie_tx_bytes_per_second, 4294967295)) * 65536 COMMENT 'PCIe sent by the GPU, bytes per second; NULL when the exporter did not say. DCGM 1009. Kept to 64 KiB per second: off by at most half of that.',
    pcie_rx_bytes_per_second Nullable(UInt64) ALIAS toUInt64(nullIf(raw_pcie_rx_bytes_per_second, 4294967295)) * 65536 COMMENT 'PCIe received by the GPU, bytes per second; NULL when the exporter did not say. DCGM 1010. Kept to 64 KiB per second: off by at most half of that.',
    nvlink_bytes_per_second Nullable(UInt64) ALIAS toUInt64(nullIf(raw_nvlink_bytes_per_second, 4294967295)) * 65536 COMMENT 'NVLink traffic of all links, bytes per second; NULL when the exporter did not say. DCGM 449. Kept to 64 KiB per second: off by at most half of that.',
    pcie_replay_total Nullable(UInt32) ALIAS nullIf(raw_pcie_replay_total, 4294967295) COMMENT 'PCIe replays, counter; NULL when the exporter did not say. DCGM 202. Exact.',
    ecc_correctable_total Nullable(UInt32) ALIAS nullIf(raw_ecc_correctable_total, 4294967295) COMMENT 'Volatile correctable ECC errors (single bit), counter since driver load; NULL when the exporter did not say. DCGM 310. Exact.',
    ecc_uncorrectable_total Nullable(UInt32) ALIAS nullIf(raw_ecc_uncorrectable_total, 4294967295) COMMENT 'Volatile uncorrectable ECC errors (double bit), counter since driver load; NULL when the exporter did not say. DCGM 311. Exact.',
    row_remap_correctable_total Nullable(UInt16) ALIAS nullIf(raw_row_remap_correctable_total, 65535) COMMENT 'Rows remapped after correctable errors, lifetime counter; NULL when the exporter did not say. DCGM 394. Exact.',
    row_remap_uncorrectable_total Nullable(UInt16) ALIAS nullIf(raw_row_remap_uncorrectable_total, 65535) COMMENT 'Rows remapped after uncorrectable errors, lifetime counter; NULL when the exporter did not say. DCGM 393. Exact.',
    row_remap_state Nullable(UInt8) ALIAS nullIf(raw_row_remap_state, 255) COMMENT 'Row remapping, bits: 1 pending, 2 failed; NULL when the exporter did not say. DCGM 395, 396. Exact.',
    recovery_action Nullable(UInt8) ALIAS nullIf(raw_recovery_action, 255) COMMENT 'Recovery that the driver asks for: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset; NULL when the exporter did not say. DCGM 1523. Exact.',
    last_xid Nullable(UInt16) ALIAS nullIf(raw_last_xid, 65535) COMMENT 'Last Xid as the exporter latched it: evidence, never a fault by itself; NULL when the exporter did not say. DCGM 230. Exact.'
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (gpu_uuid, gpu_instance, ts)
TTL toDateTime(stored_at) + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 67108864
COMMENT 'One row per GPU, or MIG instance of it, and instant. Read the unit columns; the raw_ columns are how they are stored.';

CREATE TABLE IF NOT EXISTS gpu_samples_in
(
    ts DateTime64(3, 'UTC') COMMENT 'Time of collection by the agent, UTC, milliseconds.',
    ingested_at DateTime64(3, 'UTC') COMMENT 'Time at which the agent published the row, UTC, milliseconds.',
    node LowCardinality(String) COMMENT 'Stable id of the node that holds the GPU.',
    gpu_uuid LowCardinality(String) COMMENT 'UUID of the GPU: its identity wherever it moves.',
    gpu_instance LowCardinality(String) COMMENT 'MIG instance as GI id/generation such as 13/0; empty for the whole GPU.',
    gpu_instance_profile LowCardinality(String) COMMENT 'MIG profile such as 1g.10gb; empty for the whole GPU.',
    gpu_model LowCardinality(String) COMMENT 'Product name of the GPU.',
    pool LowCardinality(String) COMMENT 'Pool that the node belongs to.',
    provider_id LowCardinality(String) COMMENT 'Provider that owns the hardware.',
    gpu_index UInt8 COMMENT 'Index on its node: a label that changes on re-enumeration, never a key.',
    lease_id LowCardinality(String) COMMENT 'Lease as the labels of the scheduler say; evidence only, leases come from events.',
    raw_gpu_util_ratio UInt8 COMMENT 'Stored form of gpu_util_ratio: the value times 100, rounded; 255 = missing.',
    raw_memory_copy_util_ratio UInt8 COMMENT 'Stored form of memory_copy_util_ratio: the value times 100, rounded; 255 = missing.',
    raw_graphics_engine_active_ratio UInt16 COMMENT 'Stored form of graphics_engine_active_ratio: the value times 10000, rounded; 65535 = missing.',
    raw_sm_active_ratio UInt16 COMMENT 'Stored form of sm_active_ratio: the value times 10000, rounded; 65535 = missing.',
    raw_sm_occupancy_ratio UInt16 COMMENT 'Stored form of sm_occupancy_ratio: the value times 10000, rounded; 65535 = missing.',
    raw_tensor_active_ratio UInt16 COMMENT 'Stored form of tensor_active_ratio: the value times 10000, rounded; 65535 = missing.',
    raw_dram_active_ratio UInt16 COMMENT 'Stored form of dram_active_ratio: the value times 10000, rounded; 65535 = missing.',
    raw_memory_used_bytes UInt32 COMMENT 'Stored form of memory_used_bytes: the value divided by 1048576, rounded; 4294967295 = missing.',
    raw_memory_total_bytes UInt32 COMMENT 'Stored form of memory_total_bytes: the value divided by 1048576, rounded; 4294967295 = missing.',
    raw_power_watts UInt16 COMMENT 'Stored form of power_watts: the value times 10, rounded; 65535 = missing.',
    raw_power_limit_watts UInt16 COMMENT 'Stored form of power_limit_watts: the value itself, rounded; 65535 = missing.',
    raw_energy_joules UInt64 COMMENT 'Stored form of energy_joules: the value itself, rounded; 18446744073709551615 = missing.',
    energy_epoch UInt16 COMMENT 'Number of resets of the energy counter so far; energies compare only within one epoch.',
    raw_temperature_celsius UInt8 COMMENT 'Stored form of temperature_celsius: the value itself, rounded; 255 = missing.',
    raw_memory_temperature_celsius UInt8 COMMENT 'Stored form of memory_temperature_celsius: the value itself, rounded; 255 = missing.',
    raw_temperature_margin_celsius Int8 COMMENT 'Stored form of temperature_margin_celsius: the value itself, rounded; 127 = missing.',
    raw_sm_clock_mhz UInt16 COMMENT 'Stored form of sm_clock_mhz: the value itself, rounded; 65535 = missing.',
    raw_memory_clock_mhz UInt16 COMMENT 'Stored form of memory_clock_mhz: the value itself, rounded; 65535 = missing.',
    raw_throttle_reasons UInt16 COMMENT 'Stored form of throttle_reasons: the value itself, rounded; 65535 = missing.',
    raw_pcie_tx_bytes_per_second UInt32 COMMENT 'Stored form of pcie_tx_bytes_per_second: the value divided by 65536, rounded; 4294967295 = missing.',
    raw_pcie_rx_bytes_per_second UInt32 COMMENT 'Stored form of pcie_rx_bytes_per_second: the value divided by 65536, rounded; 4294967295 = missing.',
    raw_nvlink_bytes_per_second UInt32 COMMENT 'Stored form of nvlink_bytes_per_second: the value divided by 65536, rounded; 4294967295 = missing.',
    raw_pcie_replay_total UInt32 COMMENT 'Stored form of pcie_replay_total: the value itself, rounded; 4294967295 = missing.',
    raw_ecc_correctable_total UInt32 COMMENT 'Stored form of ecc_correctable_total: the value itself, rounded; 4294967295 = missing.',
    raw_ecc_uncorrectable_total UInt32 COMMENT 'Stored form of ecc_uncorrectable_total: the value itself, rounded; 4294967295 = missing.',
    raw_row_remap_correctable_total UInt16 COMMENT 'Stored form of row_remap_correctable_total: the value itself, rounded; 65535 = missing.',
    raw_row_remap_uncorrectable_total UInt16 COMMENT 'Stored form of row_remap_uncorrectable_total: the value itself, rounded; 65535 = missing.',
    raw_row_remap_state UInt8 COMMENT 'Stored form of row_remap_state: the value itself, rounded; 255 = missing.',
    raw_recovery_action UInt8 COMMENT 'Stored form of recovery_action: the value itself, rounded; 255 = missing.',
    raw_last_xid UInt16 COMMENT 'Stored form of last_xid: the value itself, rounded; 65535 = missing.',
    flags UInt8 COMMENT 'Bits: 1 repeat of an earlier collection, 2 partial scrape, 4 clock doubtful, 8 demo data.',
    reject_bits UInt32 MATERIALIZED
          toUInt32(gpu_uuid = '') * 1
        + toUInt32(node = '') * 2
        + toUInt32(ts < toDateTime64('2000-01-01 00:00:00', 3, 'UTC') OR ts > now64(3) + INTERVAL 1 DAY) * 4
        + toUInt32(raw_gpu_util_ratio > 100 AND raw_gpu_util_ratio != 255) * 8
        + toUInt32(raw_memory_copy_util_ratio > 100 AND raw_memory_copy_util_ratio != 255) * 16
        + toUInt32(raw_graphics_engine_active_ratio > 10000 AND raw_graphics_engine_active_ratio != 65535) * 32
        + toUInt32(raw_sm_active_ratio > 10000 AND raw_sm_active_ratio != 65535) * 64
        + toUInt32(raw_sm_occupancy_ratio > 10000 AND raw_sm_occupancy_ratio != 65535) * 128
        + toUInt32(raw_tensor_active_ratio > 10000 AND raw_tensor_active_ratio != 65535) * 256
        + toUInt32(raw_dram_active_ratio > 10000 AND raw_dram_active_ratio != 65535) * 512
        + toUInt32(raw_memory_used_bytes > raw_memory_total_bytes AND raw_memory_used_bytes != 4294967295) * 1024
        + toUInt32(raw_memory_total_bytes > 16777216 AND raw_memory_total_bytes != 4294967295) * 2048
        + toUInt32(raw_power_watts > 50000 AND raw_power_watts != 65535) * 4096
        + toUInt32(raw_temperature_celsius > 150 AND raw_temperature_celsius != 255) * 8192
        + toUInt32(raw_memory_temperature_celsius > 150 AND raw_memory_temperature_celsius != 255) * 16384
        + toUInt32(raw_sm_clock_mhz > 10000 AND raw_sm_clock_mhz != 65535) * 32768
        + toUInt32(raw_memory_clock_mhz > 20000 AND raw_memory_clock_mhz != 65535) * 65536
        + toUInt32(raw_energy_joules >= 4398046511104 AND raw_energy_joules != 18446744073709551615) * 131072
        + toUInt32(raw_row_remap_state > 3 AND raw_row_remap_state != 255) * 262144
        COMMENT 'Which range checks the row fails, one bit each in the order of ingest_rejects_from_samples; 0 = it passes.'
)
ENGINE = Null
COMMENT 'The door for samples: keeps nothing. Rows within range reach gpu_samples, the others ingest_rejects.';

CREATE MATERIALIZED VIEW IF NOT EXISTS gpu_samples_from_in TO gpu_samples AS
SELECT
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
FROM gpu_samples_in
WHERE reject_bits = 0;
