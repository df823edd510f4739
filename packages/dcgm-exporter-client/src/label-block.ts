import type { Attribution } from './gpu-reading.js';

/** The identity that the labels of one row give. */
export interface LabelBlock {
  gpuUuid: string;
  gpuInstanceId: string;
  gpuInstanceProfile: string;
  gpuIndex: number | undefined;
  modelName: string;
  hostname: string;
  pciBusId: string;
  device: string;
  driverVersion: string;
  serial: string;
  attribution: Attribution | undefined;
  /** The row is about something else than a GPU: one NVLink, an NVSwitch, a CPU. */
  aboutOtherThing: boolean;
}

type IdentityKey =
  | 'gpuUuid'
  | 'gpuInstanceId'
  | 'gpuInstanceProfile'
  | 'modelName'
  | 'hostname'
  | 'pciBusId'
  | 'device'
  | 'driverVersion'
  | 'serial';

/** Label names as exporters of different ages write them. */
const IDENTITY_LABELS: ReadonlyMap<string, IdentityKey> = new Map([
  ['UUID', 'gpuUuid'],
  ['uuid', 'gpuUuid'],
  ['gpu_uuid', 'gpuUuid'],
  ['GPU_I_ID', 'gpuInstanceId'],
  ['GPU_I_PROFILE', 'gpuInstanceProfile'],
  ['modelName', 'modelName'],
  ['model_name', 'modelName'],
  ['Hostname', 'hostname'],
  ['hostname', 'hostname'],
  ['pci_bus_id', 'pciBusId'],
  ['device', 'device'],
  ['DCGM_FI_DRIVER_VERSION', 'driverVersion'],
  ['DCGM_FI_SYSTEM_DRIVER_VERSION', 'driverVersion'],
  ['DCGM_FI_DEV_SERIAL', 'serial'],
  ['DCGM_FI_DEV_BOARD_SERIAL', 'serial'],
]);

/** `exported_…` is what Prometheus makes of the label when it is scraped through federation. */
const ATTRIBUTION_LABELS: ReadonlyMap<string, keyof Attribution> = new Map([
  ['pod', 'pod'],
  ['pod_name', 'pod'],
  ['exported_pod', 'pod'],
  ['namespace', 'namespace'],
  ['pod_namespace', 'namespace'],
  ['exported_namespace', 'namespace'],
  ['container', 'container'],
  ['container_name', 'container'],
  ['exported_container', 'container'],
  ['pod_uid', 'podUid'],
  ['hpc_job', 'hpcJob'],
]);

const OTHER_THINGS: ReadonlySet<string> = new Set(['nvlink', 'nvswitch', 'cpu', 'cpucore']);

const NO_ATTRIBUTION: Attribution = { pod: '', namespace: '', container: '', podUid: '', hpcJob: '' };

/** More is no label that we use; it keeps one odd exporter from filling the memory. */
const MAX_LABEL_LENGTH = 256;

/** Reads what stands between the braces; undefined when it is not a list of `name="value"`. */
export function parseLabelBlock(text: string): LabelBlock | undefined {
  const block = emptyBlock();
  const attribution: Record<keyof Attribution, string> = { ...NO_ATTRIBUTION };
  let offset = skipSpaces(text, 0);
  while (offset < text.length) {
    const equals = text.indexOf('="', offset);
    if (equals < 0) return undefined;
    const name = text.slice(offset, equals);
    if (!isLabelName(name)) return undefined;
    const end = valueEnd(text, equals + 2);
    if (end < 0) return undefined;
    keepLabel(block, attribution, { name, value: text.slice(equals + 2, end) });
    const next = skipSpaces(text, end + 1);
    if (next < text.length && text[next] !== ',') return undefined;
    offset = skipSpaces(text, next + 1);
  }
  if (Object.values(attribution).some((value) => value !== '')) block.attribution = attribution;
  return block;
}

function keepLabel(
  block: LabelBlock,
  attribution: Record<keyof Attribution, string>,
  label: { readonly name: string; readonly value: string },
): void {
  const identity = IDENTITY_LABELS.get(label.name);
  if (identity !== undefined) {
    block[identity] = detached(label.value);
    return;
  }
  const given = ATTRIBUTION_LABELS.get(label.name);
  if (given !== undefined) attribution[given] = detached(label.value);
  else if (label.name === 'gpu') block.gpuIndex = indexOf(label.value);
  else if (OTHER_THINGS.has(label.name) && label.value !== '') block.aboutOtherThing = true;
}

/**
 * Exporters do not escape label values, so that a value may hold quotes, commas and braces. It ends at the quote that
 * is followed by the end or by `,name="`.
 */
function valueEnd(text: string, from: number): number {
  for (let quote = text.indexOf('"', from); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    const next = skipSpaces(text, quote + 1);
    if (next >= text.length) return quote;
    if (text[next] !== ',') continue;
    const nameStart = skipSpaces(text, next + 1);
    if (nameStart >= text.length) return quote;
    const equals = text.indexOf('="', nameStart);
    if (equals >= 0 && isLabelName(text.slice(nameStart, equals))) return quote;
  }
  return -1;
}

function isLabelName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(text);
}

function skipSpaces(text: string, from: number): number {
  let offset = from;
  while (text.charCodeAt(offset) === 0x20) offset += 1;
  return offset;
}

function indexOf(text: string): number | undefined {
  return /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}

/** A copy that does not keep the whole scrape alive, as a slice of it would. */
function detached(text: string): string {
  return Buffer.from(text.slice(0, MAX_LABEL_LENGTH), 'utf8').toString('utf8');
}

function emptyBlock(): LabelBlock {
  return {
    gpuUuid: '',
    gpuInstanceId: '',
    gpuInstanceProfile: '',
    gpuIndex: undefined,
    modelName: '',
    hostname: '',
    pciBusId: '',
    device: '',
    driverVersion: '',
    serial: '',
    attribution: undefined,
    aboutOtherThing: false,
  };
}
