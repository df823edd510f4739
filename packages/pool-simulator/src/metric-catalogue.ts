/** The series of a dcgm-exporter with its default counters and those that fault rules want, in the exporter's order. */
import type { BoardReading, EngineReading } from './gpu-reading.js';
import type { GpuModel } from './gpu-model.js';

export interface BoardFacts {
  readonly model: GpuModel;
  /** MIG mode is on: NVML then refuses utilisation and row remapping. */
  readonly mig: boolean;
}

export interface InstanceFacts {
  readonly place: number;
  readonly memoryMib: number;
}

export interface ExportedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /** The value as the exporter prints it; undefined: no row. */
  readonly ofBoard: (board: BoardReading, facts: BoardFacts) => string | undefined;
  /** The row of a MIG instance; absent: instances have none. */
  readonly ofInstance?: (engine: EngineReading, board: BoardReading, facts: InstanceFacts) => string;
}

const THOUSAND = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'));

/** `%f`: six places, of which the last three are 0 because the sensor gives milliwatts. */
function millis(value: number): string {
  const scaled = Math.round(value * 1000);
  return `${Math.floor(scaled / 1000)}.${THOUSAND[scaled % 1000] ?? ''}000`;
}

/** `%f` of a ratio. */
function ratio(value: number): string {
  const scaled = Math.round(value * 1_000_000);
  if (scaled === 0) return '0.000000';
  const thousands = Math.floor(scaled / 1000);
  return `${scaled >= 1_000_000 ? '1' : '0'}.${THOUSAND[thousands % 1000] ?? ''}${THOUSAND[scaled % 1000] ?? ''}`;
}

function whole(value: number): string {
  return String(Math.floor(value));
}

/** The same counter read a moment later for each instance, as in captures of real MIG boards. */
function skewed(energyMj: number, place: number): string {
  return String(Math.floor(energyMj) + ((place * 1777) % 5300));
}

type Metric = Omit<ExportedMetric, 'name' | 'help' | 'type'>;

function gauge(name: string, help: string, metric: Metric): ExportedMetric {
  return { name: `DCGM_FI_${name}`, help, type: 'gauge', ...metric };
}

function counter(name: string, help: string, metric: Metric): ExportedMetric {
  return { name: `DCGM_FI_${name}`, help, type: 'counter', ...metric };
}

/** Of the whole board, and repeated on its instances. */
function shared(value: (board: BoardReading) => string): Metric {
  return { ofBoard: value, ofInstance: (_engine, board) => value(board) };
}

/** Of the whole board only. */
function device(value: (board: BoardReading, facts: BoardFacts) => string | undefined): Metric {
  return { ofBoard: value };
}

/** Of the board, or of each instance by itself. */
function engine(value: (reading: EngineReading) => string): Metric {
  return { ofBoard: (board) => value(board.engine), ofInstance: value };
}

/** Not supported while MIG is on. */
function withoutMig(value: (board: BoardReading) => string): Metric {
  return { ofBoard: (board, facts) => (facts.mig ? undefined : value(board)) };
}

export const XID_METRIC = 'DCGM_FI_DEV_XID_ERRORS';

export const exportedMetrics: readonly ExportedMetric[] = [
  gauge(
    'DEV_SM_CLOCK',
    'SM clock frequency (in MHz).',
    shared((board) => String(board.smClockMhz)),
  ),
  gauge(
    'DEV_MEM_CLOCK',
    'Memory clock frequency (in MHz).',
    shared((board) => String(board.memoryClockMhz)),
  ),
  gauge(
    'DEV_MEMORY_TEMP',
    'Memory temperature (in C).',
    shared((board) => String(board.memoryTemperatureCelsius)),
  ),
  gauge(
    'DEV_GPU_TEMP',
    'GPU temperature (in C).',
    shared((board) => String(board.temperatureCelsius)),
  ),
  gauge(
    'DEV_POWER_USAGE',
    'Power draw (in W).',
    shared((board) => millis(board.powerWatts)),
  ),
  counter('DEV_TOTAL_ENERGY_CONSUMPTION', 'Total energy consumption since boot (in mJ).', {
    ofBoard: (board) => whole(board.energyMj),
    ofInstance: (_engine, board, facts) => skewed(board.energyMj, facts.place),
  }),
  counter(
    'DEV_PCIE_REPLAY_COUNTER',
    'Total number of PCIe retries.',
    device((board) => String(board.segment.counters.pcieReplays)),
  ),
  gauge(
    'DEV_GPU_UTIL',
    'GPU utilization (in %).',
    withoutMig((board) => String(board.engine.utilPercent)),
  ),
  gauge(
    'DEV_MEM_COPY_UTIL',
    'Memory utilization (in %).',
    withoutMig((board) => String(board.engine.memoryCopyPercent)),
  ),
  gauge(
    'DEV_ENC_UTIL',
    'Encoder utilization (in %).',
    withoutMig(() => '0'),
  ),
  gauge(
    'DEV_DEC_UTIL',
    'Decoder utilization (in %).',
    withoutMig(() => '0'),
  ),
  gauge(
    'DEV_XID_ERRORS',
    'Value of the last XID error encountered.',
    // Exporters of 2026 write no row while there was none.
    device((board) => (board.segment.latchedXid === 0 ? undefined : String(board.segment.latchedXid))),
  ),
  gauge('DEV_FB_FREE', 'Framebuffer memory free (in MiB).', {
    ofBoard: (board, { model }) =>
      String(model.memoryTotalMib - model.memoryReservedMib - board.engine.memoryUsedMib),
    ofInstance: (reading, _board, facts) => String(facts.memoryMib - reading.memoryUsedMib),
  }),
  gauge(
    'DEV_FB_USED',
    'Framebuffer memory used (in MiB).',
    engine((one) => String(one.memoryUsedMib)),
  ),
  gauge(
    'DEV_FB_RESERVED',
    'Framebuffer memory reserved (in MiB).',
    device((_board, { model }) => String(model.memoryReservedMib)),
  ),
  counter(
    'DEV_UNCORRECTABLE_REMAPPED_ROWS',
    'Number of remapped rows for uncorrectable errors',
    withoutMig((board) => String(board.segment.counters.remapUncorrectable)),
  ),
  counter(
    'DEV_CORRECTABLE_REMAPPED_ROWS',
    'Number of remapped rows for correctable errors',
    withoutMig((board) => String(board.segment.counters.remapCorrectable)),
  ),
  gauge(
    'DEV_ROW_REMAP_FAILURE',
    'Whether remapping of rows has failed',
    withoutMig((board) => (board.segment.counters.remapFailed ? '1' : '0')),
  ),
  gauge(
    'DEV_ROW_REMAP_PENDING',
    'Whether remapping of rows is pending',
    withoutMig((board) => (board.segment.counters.remapPending ? '1' : '0')),
  ),
  counter(
    'DEV_NVLINK_BANDWIDTH_TOTAL',
    'Total number of NVLink bandwidth counters for all lanes.',
    device((board, { model }) =>
      model.nvlinkBytesPerSecond === 0 ? undefined : String(board.engine.nvlinkMegabytesPerSecond),
    ),
  ),
  gauge(
    'DEV_VGPU_LICENSE_STATUS',
    'vGPU License status',
    device(() => '0'),
  ),
  gauge(
    'DEV_CLOCKS_EVENT_REASONS',
    'Current clock event reasons (bitmask of DCGM_CLOCKS_EVENT_REASON_*)',
    shared((board) => String(board.throttleReasons)),
  ),
  gauge(
    'DEV_GPU_TEMP_LIMIT',
    'Thermal margin temperature (distance to nearest slowdown threshold) for the device (in C).',
    device((board) => String(board.marginCelsius)),
  ),
  gauge(
    'DEV_POWER_MGMT_LIMIT',
    'Current power limit for the device (in W).',
    device((_board, { model }) => `${model.powerLimitWatts}.000000`),
  ),
  counter(
    'DEV_ECC_SBE_VOL_TOTAL',
    'Total number of single-bit volatile ECC errors.',
    device((board) => String(board.segment.counters.eccCorrectable)),
  ),
  counter(
    'DEV_ECC_DBE_VOL_TOTAL',
    'Total number of double-bit volatile ECC errors.',
    device((board) => String(board.segment.counters.eccUncorrectable)),
  ),
  gauge(
    'DEV_GET_GPU_RECOVERY_ACTION',
    'GPU recovery action (0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset).',
    device((board) => String(board.segment.counters.recoveryAction)),
  ),
  gauge(
    'PROF_GR_ENGINE_ACTIVE',
    'Ratio of time the graphics engine is active.',
    engine((one) => ratio(one.engineActive)),
  ),
  gauge(
    'PROF_SM_ACTIVE',
    'The ratio of cycles an SM has at least 1 warp assigned.',
    engine((one) => ratio(one.smActive)),
  ),
  gauge(
    'PROF_SM_OCCUPANCY',
    'The ratio of number of warps resident on an SM.',
    engine((one) => ratio(one.smOccupancy)),
  ),
  gauge(
    'PROF_PIPE_TENSOR_ACTIVE',
    'Ratio of cycles the tensor (HMMA) pipe is active.',
    engine((one) => ratio(one.tensorActive)),
  ),
  gauge(
    'PROF_DRAM_ACTIVE',
    'Ratio of cycles the device memory interface is active sending or receiving data.',
    engine((one) => ratio(one.dramActive)),
  ),
  gauge(
    'PROF_PCIE_TX_BYTES',
    'The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes per second.',
    device((board) => whole(board.engine.pcieTxBytesPerSecond)),
  ),
  gauge(
    'PROF_PCIE_RX_BYTES',
    'The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes per second.',
    device((board) => whole(board.engine.pcieRxBytesPerSecond)),
  ),
];

/** The exporter's own words for the codes that the simulator knows. */
export const xidMessages: Readonly<Record<number, string>> = {
  13: 'Graphics Engine Exception',
  31: 'GPU memory page fault',
  48: 'Double Bit ECC Error',
  63: 'ECC page retirement or row remapping recording event',
  79: 'GPU has fallen off the bus',
  94: 'Contained ECC error',
};
