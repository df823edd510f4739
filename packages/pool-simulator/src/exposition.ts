/** The text that a node's dcgm-exporter would serve at one instant. Built for back-fills: 48 GPUs in about a millisecond. */
import { readBoard, readEngine, type BoardReading, type EngineReading } from './gpu-reading.js';
import {
  exportedMetrics,
  XID_METRIC,
  xidMessages,
  type BoardFacts,
  type InstanceFacts,
} from './metric-catalogue.js';
import type { SimulatedGpu } from './simulated-gpu.js';
import type { SimulatedNode } from './simulated-node.js';

const headers = exportedMetrics.map((metric) =>
  flat(`# HELP ${metric.name} ${metric.help}\n# TYPE ${metric.name} ${metric.type}`),
);

/** The same text in one piece: V8 would walk a concatenation's parts again for every line that it is part of. */
function flat(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}

/** What is before each value, kept until a label changes. */
interface LinePrefixes {
  readonly key: string;
  /** By metric: a line break, the name, the labels and a space. */
  readonly byMetric: readonly string[];
  readonly labels: string;
  readonly jobLabel: string;
}

interface Row {
  readonly prefixes: LinePrefixes;
  readonly board: BoardReading;
  readonly facts: BoardFacts;
  /** Undefined: the row of the whole board. */
  readonly instance: { readonly engine: EngineReading; readonly facts: InstanceFacts } | undefined;
}

/** Renders one node; keeps the label texts between calls. */
export class NodeExposition {
  readonly #node: SimulatedNode;
  readonly #driverVersion: string;
  readonly #prefixes: LinePrefixes[] = [];

  constructor(node: SimulatedNode, driverVersion: string) {
    this.#node = node;
    this.#driverVersion = driverVersion;
  }

  render(at: number): string {
    const rows: Row[] = [];
    for (const gpu of this.#node.gpus) this.#addRows(rows, gpu, at);
    let text = '';
    for (let metric = 0; metric < exportedMetrics.length; metric++) {
      const lines = linesOf(metric, rows);
      if (lines === '') continue;
      text += text === '' ? (headers[metric] ?? '') : `\n${headers[metric] ?? ''}`;
      text += lines;
    }
    return text === '' ? '' : `${text}\n`;
  }

  #addRows(rows: Row[], gpu: SimulatedGpu, at: number): void {
    const segment = gpu.history.segmentAt(at);
    if (segment?.present !== true) return;
    const mig = gpu.instances.length > 0;
    const board = readBoard(gpu, segment, at);
    const facts = { model: gpu.model, mig };
    const slot = gpu.index * 8;
    if (!mig) {
      const leaseId = segment.leaseIds[0];
      const prefixes = this.#prefixesOf(slot, { gpu, uuid: segment.uuid, instance: '', leaseId });
      rows.push({ prefixes, board, facts, instance: undefined });
      return;
    }
    const engines = gpu.instances.map((_, place) => readEngine(gpu, segment.loads[place], at));
    addUpEngines(board.engine, { gpu, engines });
    const whole = this.#prefixesOf(slot, { gpu, uuid: segment.uuid, instance: '', leaseId: undefined });
    rows.push({ prefixes: whole, board, facts, instance: undefined });
    gpu.instances.forEach((one, place) => {
      const instance = `,GPU_I_PROFILE="${one.profile.name}",GPU_I_ID="${one.instanceId}"`;
      const leaseId = segment.leaseIds[place];
      const prefixes = this.#prefixesOf(slot + place + 1, { gpu, uuid: segment.uuid, instance, leaseId });
      const engine = engines[place];
      if (engine === undefined) return;
      rows.push({
        prefixes,
        board,
        facts,
        instance: { engine, facts: { place, memoryMib: one.profile.memoryMib } },
      });
    });
  }

  #prefixesOf(
    slot: number,
    row: { gpu: SimulatedGpu; uuid: string; instance: string; leaseId: string | undefined },
  ): LinePrefixes {
    const key = `${row.uuid} ${row.leaseId ?? ''}`;
    const known = this.#prefixes[slot];
    if (known?.key === key) return known;
    const { gpu } = row;
    const labels = flat(
      `gpu="${gpu.index}",UUID="${row.uuid}",pci_bus_id="${gpu.pciBusId}",device="nvidia${gpu.index}",` +
        `modelName="${gpu.model.name}"${row.instance},Hostname="${this.#node.name}",` +
        `DCGM_FI_DRIVER_VERSION="${this.#driverVersion}"`,
    );
    const jobLabel = row.leaseId === undefined ? '' : `,hpc_job="${row.leaseId}"`;
    const byMetric = exportedMetrics.map((metric) => flat(`\n${metric.name}{${labels}${jobLabel}} `));
    const prefixes = { key, byMetric, labels, jobLabel };
    this.#prefixes[slot] = prefixes;
    return prefixes;
  }
}

function linesOf(index: number, rows: readonly Row[]): string {
  const metric = exportedMetrics[index];
  if (metric === undefined) return '';
  let lines = '';
  for (const row of rows) {
    const { instance } = row;
    const value =
      instance === undefined
        ? metric.ofBoard(row.board, row.facts)
        : metric.ofInstance?.(instance.engine, row.board, instance.facts);
    if (value === undefined) continue;
    const isXid = metric.name === XID_METRIC;
    lines += isXid ? xidPrefix(row) : (row.prefixes.byMetric[index] ?? '');
    lines += value;
  }
  return lines;
}

/** Only this series carries what the code means. */
function xidPrefix(row: Row): string {
  const { labels, jobLabel } = row.prefixes;
  const code = row.board.segment.latchedXid;
  return `\n${XID_METRIC}{${labels},err_code="${code}",err_msg="${xidMessages[code] ?? 'Unknown Error'}"${jobLabel}} `;
}

/** On a board in MIG mode the profiling counters of the device are what its instances do, by their slices. */
function addUpEngines(
  whole: EngineReading,
  parts: { gpu: SimulatedGpu; engines: readonly EngineReading[] },
): void {
  parts.gpu.instances.forEach(({ profile }, place) => {
    const engine = parts.engines[place];
    if (engine === undefined) return;
    const slices = profile.computeSlices / 7;
    whole.engineActive += engine.engineActive * slices;
    whole.smActive += engine.smActive * slices;
    whole.smOccupancy += engine.smOccupancy * slices;
    whole.tensorActive += engine.tensorActive * slices;
    whole.dramActive += engine.dramActive * slices;
    whole.memoryUsedMib += engine.memoryUsedMib;
    whole.pcieTxBytesPerSecond += engine.pcieTxBytesPerSecond;
    whole.pcieRxBytesPerSecond += engine.pcieRxBytesPerSecond;
  });
}
