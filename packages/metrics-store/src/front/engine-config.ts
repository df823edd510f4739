/** The engine's settings: small on purpose, since it shares one machine with everything else. */
import { writeFileSync } from 'node:fs';

export interface EngineLimits {
  /** What all queries, merges and caches may allocate together. */
  readonly memoryLimitBytes: number;
}

const MIB = 1_048_576;

/** Writes the file and returns the engine's arguments. */
export function writeEngineConfig(path: string, limits: EngineLimits): string[] {
  writeFileSync(path, engineConfig(limits), { mode: 0o600 });
  return [`--config-file=${path}`];
}

export function engineConfig({ memoryLimitBytes }: EngineLimits): string {
  const settings: Record<string, number> = {
    max_server_memory_usage: memoryLimitBytes,
    mark_cache_size: 64 * MIB,
    index_mark_cache_size: 16 * MIB,
    primary_index_cache_size: 32 * MIB,
    uncompressed_cache_size: 0,
    index_uncompressed_cache_size: 0,
    mmap_cache_size: 64,
    compiled_expression_cache_size: 16 * MIB,
    background_pool_size: 2,
    background_common_pool_size: 2,
    background_fetches_pool_size: 1,
    background_move_pool_size: 1,
    background_schedule_pool_size: 4,
    background_buffer_flush_schedule_pool_size: 1,
    background_message_broker_schedule_pool_size: 4,
    background_distributed_schedule_pool_size: 1,
    merges_mutations_memory_usage_soft_limit: Math.floor(memoryLimitBytes / 2),
  };
  const lines = Object.entries(settings).map(([name, value]) => `    <${name}>${value}</${name}>`);
  // Statistics of every column of every part cost more than our queries gain from them.
  const mergeTree = '    <merge_tree><auto_statistics_types></auto_statistics_types></merge_tree>';
  return `<clickhouse>\n${[...lines, mergeTree].join('\n')}\n</clickhouse>\n`;
}
