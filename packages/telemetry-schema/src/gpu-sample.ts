import type { EpochMs } from '@poolmeter/domain';

/** Bits of `flags`. */
export const sampleFlags = { repeat: 1, partialScrape: 2, clockDoubtful: 4, demo: 8 } as const;

/** Bits of `rowRemapState`. */
export const rowRemapBits = { pending: 1, failed: 2 } as const;

/**
 * One GPU, or one MIG instance of it, at one instant. `null` means that the exporter did not say: a blank is never
 * zero. Units are in the names; DCGM field ids stand in sample-columns.ts.
 */
export interface GpuSample {
  readonly ts: EpochMs;
  readonly ingestedAt: EpochMs;
  readonly node: string;
  readonly gpuUuid: string;
  /** '' for the whole GPU, else `GI id/generation`, such as `13/0`. */
  readonly gpuInstance: string;
  /** MIG profile such as `1g.5gb`, '' for the whole GPU. */
  readonly gpuInstanceProfile: string;
  readonly gpuModel: string;
  readonly pool: string;
  readonly providerId: string;
  readonly gpuIndex: number;
  /** As the scheduler's labels say; evidence only, leases come from events. */
  readonly leaseId: string;
  readonly gpuUtilRatio: number | null;
  readonly memoryCopyUtilRatio: number | null;
  readonly graphicsEngineActiveRatio: number | null;
  readonly smActiveRatio: number | null;
  readonly smOccupancyRatio: number | null;
  readonly tensorActiveRatio: number | null;
  readonly dramActiveRatio: number | null;
  readonly memoryUsedBytes: number | null;
  readonly memoryTotalBytes: number | null;
  readonly powerWatts: number | null;
  readonly powerLimitWatts: number | null;
  /** Joules since the counter's epoch, once per device: null on instance rows. */
  readonly energyJoules: number | null;
  /** +1 at each reset of the energy counter. */
  readonly energyEpoch: number;
  readonly temperatureCelsius: number | null;
  readonly memoryTemperatureCelsius: number | null;
  readonly temperatureMarginCelsius: number | null;
  readonly smClockMhz: number | null;
  readonly memoryClockMhz: number | null;
  /** NVML clocks event reasons, bit mask. */
  readonly throttleReasons: number | null;
  readonly pcieTxBytesPerSecond: number | null;
  readonly pcieRxBytesPerSecond: number | null;
  readonly nvlinkBytesPerSecond: number | null;
  readonly pcieReplayTotal: number | null;
  readonly eccCorrectableTotal: number | null;
  readonly eccUncorrectableTotal: number | null;
  readonly rowRemapCorrectableTotal: number | null;
  readonly rowRemapUncorrectableTotal: number | null;
  readonly rowRemapState: number | null;
  /** 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset. */
  readonly recoveryAction: number | null;
  /** As the exporter latched it: evidence, never a fault by itself. */
  readonly lastXid: number | null;
  readonly flags: number;
}
