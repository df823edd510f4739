/** What can be read off samples: each signal with its unit in its name, where it comes from and what it means. */

interface Signal {
  /**
   * `minutes`: whole minutes of one GPU's own samples. `hours`: whole hours of them. `peers`: steps of five minutes, compared
   * with GPUs of the same model, pool and load, or of the same job. `agent`: told by the agent as an event
   * `gpu.condition` that begins and ends.
   */
  readonly from: 'minutes' | 'hours' | 'peers' | 'agent';
  /** Whether the limit is the least or the first value that is no longer bad. */
  readonly bad: 'at_least' | 'below';
  readonly meaning: string;
}

export const signals = {
  temperature_celsius: { from: 'minutes', bad: 'at_least', meaning: 'Highest temperature of the minute.' },
  temperature_margin_celsius: {
    from: 'minutes',
    bad: 'below',
    meaning: 'Smallest distance to the temperature at which the GPU slows itself down (DCGM 153).',
  },
  hw_throttled_ratio: {
    from: 'minutes',
    bad: 'at_least',
    meaning: 'Share of samples with a hardware slowdown, thermal or power brake bit (0x8, 0x40, 0x80).',
  },
  sw_thermal_throttled_ratio: {
    from: 'minutes',
    bad: 'at_least',
    meaning: 'Share of samples in which the driver held the clocks down for heat (0x20).',
  },
  activity_ratio: {
    from: 'minutes',
    bad: 'below',
    meaning: 'Largest of engine activity, SM activity and utilisation, mean of the minute.',
  },
  stalled_power_ratio: {
    from: 'minutes',
    bad: 'below',
    meaning:
      'Power as a share of the most that this GPU drew in the time looked at, where utilisation is at least 0.95 and SM activity below 0.02; 1 elsewhere.',
  },
  ecc_uncorrectable_new: {
    from: 'minutes',
    bad: 'at_least',
    meaning: 'Uncorrectable memory errors that were added within the minute (DCGM 311).',
  },
  row_remap_failed: {
    from: 'minutes',
    bad: 'at_least',
    meaning: '1 while a failed row remapping is reported (DCGM 395).',
  },
  row_remap_pending: {
    from: 'minutes',
    bad: 'at_least',
    meaning: '1 while a row waits for a reset to be remapped (DCGM 396).',
  },
  row_remap_uncorrectable_total: {
    from: 'minutes',
    bad: 'at_least',
    meaning: 'Rows remapped for uncorrectable errors in the life of the GPU (DCGM 393).',
  },
  recovery_action: {
    from: 'minutes',
    bad: 'at_least',
    meaning:
      'The action that the driver asks for: 1 reset, 2 reboot, 3 drain peer-to-peer, 4 drain and reset (DCGM 1523).',
  },
  pcie_replays_per_minute: {
    from: 'minutes',
    bad: 'at_least',
    meaning: 'PCIe packets sent again (DCGM 202).',
  },
  sample_loss_ratio: {
    from: 'peers',
    bad: 'at_least',
    meaning: 'Share of the samples that the best-seen GPU of the node gave and this one did not.',
  },
  memory_growth_bytes_per_hour: {
    from: 'hours',
    bad: 'at_least',
    meaning: 'Growth of used memory over each hour in which the engine did next to nothing.',
  },
  temperature_outlier_z: {
    from: 'peers',
    bad: 'at_least',
    meaning: 'Robust distance (median, MAD) of the temperature from GPUs of the same model, pool and load.',
  },
  clock_to_peers_ratio: {
    from: 'peers',
    bad: 'below',
    meaning: 'SM clock as a share of the median of busy peers, without a power cap.',
  },
  job_pace_ratio: {
    from: 'peers',
    bad: 'below',
    meaning: 'Activity and power as a share of the median over the other GPUs of the same job.',
  },
  sram_threshold_exceeded: {
    from: 'agent',
    bad: 'at_least',
    meaning: '1 while the GPU reports it (DCGM 346).',
  },
  pcie_link_ratio: {
    from: 'agent',
    bad: 'below',
    meaning: 'PCIe generation times width as a share of the most that the link can do, while busy.',
  },
  nvlink_errors_per_second: {
    from: 'agent',
    bad: 'at_least',
    meaning: 'NVLink CRC errors (DCGM 409 to 418).',
  },
  nvlink_down: { from: 'agent', bad: 'at_least', meaning: 'Links of the GPU that are down.' },
  fabric_unready: { from: 'agent', bad: 'at_least', meaning: '1 while the fabric state is not "completed".' },
} as const satisfies Record<string, Signal>;

export type SignalName = keyof typeof signals;

export const signalNames = Object.keys(signals) as [SignalName, ...SignalName[]];
