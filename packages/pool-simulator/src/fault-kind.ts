/** The ways in which things break, how often, for how long, and what the kernel says. */
import type { SimulatedGpu } from './simulated-gpu.js';
import { hash32 } from './random.js';

export const faultKinds = [
  'xid_79',
  'xid_94',
  'xid_63',
  'xid_48',
  'xid_13',
  'xid_31',
  'thermal_sw',
  'thermal_hw',
  'gpu_vanish',
  'exporter_hang',
  'exporter_error',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface FaultTraits {
  readonly xid: number | undefined;
  /** How often, relative to the other kinds. Hardware shares follow published counts of large training runs. */
  readonly weight: number;
  readonly medianMinutes: number;
  readonly of: 'gpu' | 'node';
  /** Needs a program that runs on the GPU. */
  readonly needsLoad: boolean;
}

const gpuFault = { xid: undefined, of: 'gpu', needsLoad: false } as const;

export const faultTraits: Readonly<Record<FaultKind, FaultTraits>> = {
  xid_79: { ...gpuFault, xid: 79, weight: 14, medianMinutes: 35 },
  xid_94: { ...gpuFault, xid: 94, weight: 10, medianMinutes: 25, needsLoad: true },
  xid_63: { ...gpuFault, xid: 63, weight: 9, medianMinutes: 120 },
  xid_48: { ...gpuFault, xid: 48, weight: 9, medianMinutes: 45 },
  xid_13: { ...gpuFault, xid: 13, weight: 12, medianMinutes: 3, needsLoad: true },
  xid_31: { ...gpuFault, xid: 31, weight: 10, medianMinutes: 3, needsLoad: true },
  thermal_sw: { ...gpuFault, weight: 10, medianMinutes: 30, needsLoad: true },
  thermal_hw: { ...gpuFault, weight: 6, medianMinutes: 18, needsLoad: true },
  gpu_vanish: { ...gpuFault, weight: 7, medianMinutes: 20 },
  exporter_hang: { xid: undefined, weight: 7, medianMinutes: 6, of: 'node', needsLoad: false },
  exporter_error: { xid: undefined, weight: 6, medianMinutes: 8, of: 'node', needsLoad: false },
};

/** NVRM writes the address without the function: `0000:91:00`. */
export function kernelPciOf(gpu: SimulatedGpu): string {
  return gpu.pciBusId.slice(4, -2).toLowerCase();
}

/** Xid numbers and texts as the driver writes them, the deciding line first. */
export function kernelMessagesOf(kind: FaultKind, gpu: SimulatedGpu, details: FaultDetails): string[] {
  const pci = kernelPciOf(gpu);
  const xid = (code: number, text: string) => `NVRM: Xid (PCI:${pci}): ${code}, ${text}`;
  const nobody = "pid='<unknown>', name=<unknown>, ";
  const pid = 20_000 + (details.seed % 2_000_000);
  const who = `pid=${pid}, name=pt_main_thread, `;
  const gpc = `(GPC ${details.seed % 7}, TPC ${(details.seed >>> 4) % 6}, SM ${(details.seed >>> 8) % 2})`;
  const address = hash32(details.seed, 5).toString(16).padStart(8, '0');
  switch (kind) {
    case 'xid_79':
      return [
        xid(79, `${nobody}GPU has fallen off the bus.`),
        `NVRM: GPU ${pci}.0: GPU has fallen off the bus.`,
        xid(154, `GPU recovery action changed from 0x0 (None) to ${recoveryText(details.recovery)}`),
      ];
    case 'xid_94':
      return [
        xid(94, `${who}Contained: SM (0x1). RST: No, D-RST: No`),
        xid(63, `${nobody}Row Remapper: New row (0x${address}) marked for remapping, reset gpu to activate.`),
      ];
    case 'xid_63':
      return [
        xid(63, `${nobody}Row Remapper: New row (0x${address}) marked for remapping, reset gpu to activate.`),
      ];
    case 'xid_48':
      return [
        xid(
          48,
          `${nobody}An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer.`,
        ),
        details.remapFails
          ? xid(64, `${nobody}Row Remapper: Failed to mark row (0x${address}) for remapping.`)
          : xid(
              63,
              `${nobody}Row Remapper: New row (0x${address}) marked for remapping, reset gpu to activate.`,
            ),
        ...(details.remapFails ? [] : [xid(45, `${who}Ch 00000008`), xid(45, `${who}Ch 00000009`)]),
        xid(154, `GPU recovery action changed from 0x0 (None) to ${recoveryText('gpu_reset')}`),
      ];
    case 'xid_13':
      return [
        xid(13, `${who}Graphics SM Warp Exception on ${gpc}: Out Of Range Address`),
        xid(
          13,
          `${who}Graphics Exception: ESR 0x546fb0=0x11f000e 0x546fb4=0x24 0x546fa8=0xf81eb60 0x546fac=0x1174`,
        ),
        xid(43, `${who}Ch 00000008`),
      ];
    case 'xid_31':
      return [
        xid(
          31,
          `${who}Ch 0000000b, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_2 faulted @ 0x7f45_${address}. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ`,
        ),
        xid(43, `${who}Ch 00000008`),
      ];
    default:
      return [];
  }
}

export type Recovery = 'gpu_reset' | 'node_reboot';

export interface FaultDetails {
  readonly seed: number;
  readonly recovery: Recovery;
  /** The spare rows are used up: the board has to be replaced. */
  readonly remapFails: boolean;
}

function recoveryText(recovery: Recovery): string {
  return recovery === 'gpu_reset' ? '0x1 (GPU Reset Required)' : '0x2 (Node Reboot Required)';
}

/** What the driver writes when it finds one board again. */
export function boardBackMessages(gpu: SimulatedGpu): string[] {
  return [
    `nvidia ${kernelPciOf(gpu)}.0: enabling device (0000 -> 0002)`,
    `nvidia ${kernelPciOf(gpu)}.0: vgaarb: changed VGA decodes: olddecodes=none,decodes=none:owns=none`,
  ];
}

/** The first lines of a machine that starts. */
export function bootMessages(driverVersion: string): string[] {
  return [
    'Linux version 5.15.0-185-generic (buildd@lcy02-amd64-042) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0) #195-Ubuntu SMP',
    'nvidia-nvlink: Nvlink Core is being initialized, major device number 510',
    `NVRM: loading NVIDIA UNIX x86_64 Kernel Module  ${driverVersion}  Wed Oct 29 21:17:18 UTC 2025`,
  ];
}
