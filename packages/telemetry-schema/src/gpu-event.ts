import type { EpochMs } from '@poolmeter/domain';

/** What happens rather than what is. New kinds may be added; readers ignore those they do not know. */
export const gpuEventKinds = [
  'xid',
  'sxid',
  'gpu.fallen_off_bus',
  'gpu.appeared',
  'gpu.lost',
  'gpu_instance.appeared',
  'gpu_instance.vanished',
  'source.down',
  'source.partial',
  'source.back',
  'driver.restarted',
  'exporter.restarted',
  'counter.reset',
  'clock.stepped',
  // A state that begins and ends: detail.signal names it, detail.value is what was read.
  'gpu.condition',
  // What the pipeline notices about those who send.
  'telemetry.gap',
  'telemetry.gap_filled',
  'provider.foreign_node',
] as const;

export type GpuEventKind = (typeof gpuEventKinds)[number];

/**
 * One event on a node. Its identity is (node, bootId, kind, sequence): reading a kernel log twice stores it once.
 * `sequence` is the kernel's own for log lines, the agent's count otherwise.
 */
export interface GpuEvent {
  readonly ts: EpochMs;
  readonly bootId: string;
  readonly sequence: bigint;
  readonly node: string;
  /** '' when only the node is known; a PCI bus id that no scrape has mapped yet stands in `detail.pci_bus_id`. */
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly pool: string;
  readonly providerId: string;
  readonly kind: GpuEventKind;
  /** Xid or SXid number, 0 where the kind has none. */
  readonly code: number;
  /** The raw line, as evidence. */
  readonly message: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly demo: boolean;
}
