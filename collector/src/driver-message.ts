import { normalPciBusId } from './pci-bus-id.js';

/** What the NVIDIA driver, an NVSwitch or the Fabric Manager says in one log line. */
export type DriverMessage =
  | {
      readonly kind: 'xid' | 'sxid' | 'gpu.fallen_off_bus' | 'driver.restarted';
      readonly code: number;
      /** In the normal form of pci-bus-id.ts; '' where the line names none. */
      readonly pciBusId: string;
      /** GPU instance id, where the line names one. */
      readonly gpuInstanceId: string;
      readonly detail: Readonly<Record<string, string | number>>;
    }
  /** The driver tells which GPU sits at an address. No event, but it makes later ones say whom they are about. */
  | { readonly kind: 'gpu-at'; readonly pciBusId: string; readonly gpuUuid: string };

const XID = /NVRM: Xid \((?:PCI:)?([0-9a-f:.]+)(?: GPU-I:(\d+))?\): (\d+)(?:, *(.*))?$/i;
const SXID = /nvidia-nvswitch(\d+): SXid \((?:PCI:)?([0-9a-f:.]+)\): (\d+)(?:, *(.*))?$/i;
const FABRIC_MANAGER_SXID =
  /detected NVSwitch (fatal|non-fatal) error (\d+) on fid (\d+) on NVSwitch pci bus id ([0-9a-f:.]+) physical id (\d+) port (\d+)/i;
const FALLEN_OFF =
  /NVRM: .*?GPU (?:at )?(?:PCI:)?((?:[0-9a-f]+:)?[0-9a-f]+:[0-9a-f]+(?:\.\d)?).*fallen off the bus/i;
const GPU_AT = /NVRM: GPU at (?:PCI:)?([0-9a-f:.]+): (GPU-[0-9a-f-]{36})/i;
const DRIVER_LOADED = /NVRM: loading NVIDIA UNIX .*?Kernel Module(?: for \S+)? +(\d+[\d.]*)/;

/** Recognizes the lines that matter; undefined for all others, which are by far the most. */
export function driverMessageOf(text: string): DriverMessage | undefined {
  // Nearly every line of a kernel log is about something else: one cheap test spares the patterns.
  if (!/NVRM|SXid|NVSwitch/i.test(text)) return undefined;
  return (
    xid(text) ??
    sxid(text) ??
    fabricManagerSxid(text) ??
    fallenOffBus(text) ??
    gpuAt(text) ??
    driverLoaded(text)
  );
}

function xid(text: string): DriverMessage | undefined {
  const [, address, instance, code, rest] = XID.exec(text) ?? [];
  if (address === undefined || code === undefined) return undefined;
  return {
    kind: 'xid',
    code: Number(code),
    pciBusId: normalPciBusId(address) ?? address.toLowerCase(),
    gpuInstanceId: instance === undefined ? '' : String(Number(instance)),
    detail: {
      ...process(rest ?? ''),
      ...recoveryAction(rest ?? ''),
      ...nvlinkFault(rest ?? ''),
      ...location(rest ?? ''),
    },
  };
}

/** `pid=2519562, name=python3, Graphics Exception: …`; the driver writes `<unknown>` where it does not know. */
function process(rest: string): Record<string, string | number> {
  const [, pid, name, text] = /^(?:pid=([^,]*), *)?(?:name=([^,]*)(?:, *|$))?(.*)$/s.exec(rest) ?? [];
  const known = (value: string | undefined) => {
    const bare = value?.replace(/^'|'$/g, '');
    return bare === undefined || bare === '' || bare === '<unknown>' ? undefined : bare;
  };
  const pidText = known(pid);
  const processName = known(name);
  return {
    ...(pidText === undefined || !/^\d+$/.test(pidText) ? {} : { pid: Number(pidText) }),
    ...(processName === undefined ? {} : { process_name: processName }),
    ...(text === undefined || text === '' ? {} : { text }),
  };
}

/** Xid 154 carries the driver's own verdict: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset. */
function recoveryAction(rest: string): Record<string, string | number> {
  const pattern = /recovery action changed from (0x[0-9a-f]+) \(([^)]*)\) to (0x[0-9a-f]+) \(([^)]*)\)/i;
  const [, from, fromText, to, toText] = pattern.exec(rest) ?? [];
  if (from === undefined || fromText === undefined || to === undefined || toText === undefined) return {};
  return {
    recovery_action_before: Number(from),
    recovery_action_before_text: fromText,
    recovery_action: Number(to),
    recovery_action_text: toText,
  };
}

/** Xid 144 to 150: `NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x004505c6 …)`. */
function nvlinkFault(rest: string): Record<string, string | number> {
  const pattern = /\b([A-Z][A-Z0-9_]+) +(Fatal|Nonfatal) +XC\d+ i\d+(?: Link (-?\d+))?(?: \((0x[0-9a-f]+))?/;
  const [, unit, severity, link, interruptInfo] = pattern.exec(rest) ?? [];
  if (unit === undefined || severity === undefined) return {};
  return {
    unit,
    severity: severity === 'Fatal' ? 'fatal' : 'non-fatal',
    ...(link === undefined ? {} : { link: Number(link) }),
    ...(interruptInfo === undefined ? {} : { interrupt_info: interruptInfo }),
  };
}

/** Where on the chip: two faults on one GPC and TPC point to hardware. */
function location(rest: string): Record<string, number> {
  const [, gpc, tpc, sm] = /\(GPC (\d+), TPC (\d+), SM (\d+)\)/.exec(rest) ?? [];
  return gpc === undefined ? {} : { gpc: Number(gpc), tpc: Number(tpc), sm: Number(sm) };
}

function sxid(text: string): DriverMessage | undefined {
  const [, nvswitch, address, code, rest] = SXID.exec(text) ?? [];
  if (nvswitch === undefined || address === undefined || code === undefined) return undefined;
  const words = rest ?? '';
  const [, severity] = /^(Fatal|Non-fatal)\b/i.exec(words) ?? [];
  const [, link] = /\bLink (\d+)/.exec(words) ?? [];
  return {
    kind: 'sxid',
    code: Number(code),
    pciBusId: normalPciBusId(address) ?? address.toLowerCase(),
    gpuInstanceId: '',
    detail: {
      nvswitch: Number(nvswitch),
      source: 'kernel',
      // One fault is written on several lines: the headline, then its severity class and data.
      part: /^Severity\b/.test(words) ? 'severity' : /^Data\b/.test(words) ? 'data' : 'headline',
      ...(severity === undefined ? {} : { severity: severity.toLowerCase() }),
      ...(link === undefined ? {} : { link: Number(link) }),
      ...(words === '' ? {} : { text: words }),
    },
  };
}

function fabricManagerSxid(text: string): DriverMessage | undefined {
  const [, severity, code, fabricId, address, nvswitch, port] = FABRIC_MANAGER_SXID.exec(text) ?? [];
  if (severity === undefined || code === undefined || address === undefined) return undefined;
  return {
    kind: 'sxid',
    code: Number(code),
    pciBusId: normalPciBusId(address) ?? address.toLowerCase(),
    gpuInstanceId: '',
    detail: {
      nvswitch: Number(nvswitch),
      source: 'fabric-manager',
      part: 'headline',
      severity: severity.toLowerCase(),
      fabric_id: Number(fabricId),
      link: Number(port),
    },
  };
}

/** Written beside Xid 79, and sometimes without it. */
function fallenOffBus(text: string): DriverMessage | undefined {
  const [, address] = FALLEN_OFF.exec(text) ?? [];
  if (address === undefined) return undefined;
  return {
    kind: 'gpu.fallen_off_bus',
    code: 0,
    pciBusId: normalPciBusId(address) ?? address.toLowerCase(),
    gpuInstanceId: '',
    detail: {},
  };
}

function gpuAt(text: string): DriverMessage | undefined {
  const [, address, gpuUuid] = GPU_AT.exec(text) ?? [];
  const pciBusId = address === undefined ? undefined : normalPciBusId(address);
  return pciBusId === undefined || gpuUuid === undefined ? undefined : { kind: 'gpu-at', pciBusId, gpuUuid };
}

function driverLoaded(text: string): DriverMessage | undefined {
  const [, version] = DRIVER_LOADED.exec(text) ?? [];
  if (version === undefined) return undefined;
  return {
    kind: 'driver.restarted',
    code: 0,
    pciBusId: '',
    gpuInstanceId: '',
    detail: { driver_version: version },
  };
}
