import { isBlank, isBlankText } from './blank-value.js';
import { fieldOfMetric, type DcgmField } from './field-catalogue.js';
import type { GpuReading } from './gpu-reading.js';
import { parseLabelBlock, type LabelBlock } from './label-block.js';
import { ReadingBuilder } from './reading-builder.js';

/**
 * What was wrong with a line: `syntax` it is no metric line; `labels` its labels cannot be read; `no-gpu` a GPU field
 * without a UUID; `unconvertible` the exporter printed an error where the value stands.
 */
export type ParseFaultReason = 'syntax' | 'labels' | 'no-gpu' | 'unconvertible';

export interface ParseFault {
  /** Counted from 1. */
  readonly lineNumber: number;
  readonly reason: ParseFaultReason;
  /** The beginning of the line. */
  readonly text: string;
}

export interface ParsedMetrics {
  /** In the order in which GPUs and instances first appear. */
  readonly readings: readonly GpuReading[];
  /** The first 100 bad lines; everything else was kept. */
  readonly faults: readonly ParseFault[];
  /** All bad lines. */
  readonly faultCount: number;
  /** Values that the exporter marked as unknown (DCGM's blank sentinels, NaN, Inf): absent from the readings. */
  readonly blankCount: number;
  /** When the exporter's process started (`process_start_time_seconds`), where it says so. */
  readonly exporterStartedAtS: number | undefined;
}

const MAX_FAULTS = 100;
const MAX_FAULT_TEXT = 160;
const HASH = 0x23;
const CARRIAGE_RETURN = 0x0d;
const PROCESS_START = 'process_start_time_seconds ';

/**
 * Reads Prometheus text as dcgm-exporters really write it: unescaped label values, old and new label and field names,
 * rows repeated per pod or job, sentinels instead of values. One bad line is reported and the rest is kept. The text
 * must be complete: that the transport cut nothing off is for the transport to say (fetchMetrics does).
 */
export function parseMetrics(text: string | Buffer): ParsedMetrics {
  const parser = new MetricsParser(typeof text === 'string' ? text : text.toString('utf8'));
  return parser.parse();
}

class MetricsParser {
  readonly #text: string;
  /** Label text → what it says. Every field of a GPU repeats the same labels, so that they are read once. */
  readonly #blocks = new Map<string, LabelBlock | undefined>();
  readonly #builders = new Map<LabelBlock, ReadingBuilder>();
  readonly #byEntity = new Map<string, ReadingBuilder>();
  readonly #faults: ParseFault[] = [];
  #faultCount = 0;
  #blankCount = 0;
  #startedAtS: number | undefined;
  #lineNumber = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): ParsedMetrics {
    const text = this.#text;
    for (let start = 0; start < text.length;) {
      let end = text.indexOf('\n', start);
      if (end < 0) end = text.length;
      this.#lineNumber += 1;
      const lineEnd = text.charCodeAt(end - 1) === CARRIAGE_RETURN ? end - 1 : end;
      if (lineEnd > start && text.charCodeAt(start) !== HASH) this.#line(start, lineEnd);
      start = end + 1;
    }
    return {
      readings: [...this.#byEntity.values()].map((builder) => builder.finish()),
      faults: this.#faults,
      faultCount: this.#faultCount,
      blankCount: this.#blankCount,
      exporterStartedAtS: this.#startedAtS,
    };
  }

  #line(start: number, end: number): void {
    const text = this.#text;
    if (!text.startsWith('DCGM_', start)) {
      this.#otherLine(start, end);
      return;
    }
    const open = text.indexOf('{', start);
    // The value holds no brace, so that the last one closes the labels whatever they contain.
    const close = text.lastIndexOf('}', end - 1);
    if (open < 0 || open > close) {
      this.#fault('syntax', start, end);
      return;
    }
    const valueText = text.slice(close + 1, end).trim();
    if (valueText === '') {
      this.#fault('syntax', start, end);
      return;
    }
    const block = this.#blockOf(text.slice(open + 1, close));
    if (block === undefined) this.#fault('labels', start, end);
    else this.#row({ field: fieldOfMetric(text.slice(start, open)), block, valueText, start, end });
  }

  #row(row: {
    readonly field: DcgmField | undefined;
    readonly block: LabelBlock;
    readonly valueText: string;
    readonly start: number;
    readonly end: number;
  }): void {
    const { field, block } = row;
    if (block.aboutOtherThing) return;
    if (block.gpuUuid === '') {
      if (field !== undefined) this.#fault('no-gpu', row.start, row.end);
      return;
    }
    const builder = this.#builderOf(block);
    if (field === undefined) return;
    const value = valueOf(row.valueText);
    if (value === undefined) this.#fault(faultOfValue(row.valueText), row.start, row.end);
    else if (isBlank(value, field.unit)) this.#blankCount += 1;
    else builder.put(block, field.id, value);
  }

  /** A metric of the exporter's own process, or no metric at all. */
  #otherLine(start: number, end: number): void {
    const line = this.#text.slice(start, end).trim();
    if (line.startsWith(PROCESS_START)) this.#startedAtS = valueOf(line.slice(PROCESS_START.length));
    else if (line !== '' && !/^[A-Za-z_:][\w:]*(\{.*\})? +[-+.\dNI]/.test(line))
      this.#fault('syntax', start, end);
  }

  #blockOf(labelText: string): LabelBlock | undefined {
    const known = this.#blocks.get(labelText);
    if (known !== undefined || this.#blocks.has(labelText)) return known;
    const block = parseLabelBlock(labelText);
    this.#blocks.set(labelText, block);
    return block;
  }

  #builderOf(block: LabelBlock): ReadingBuilder {
    const known = this.#builders.get(block);
    if (known !== undefined) return known;
    const entity = `${block.gpuUuid}/${block.gpuInstanceId}`;
    let builder = this.#byEntity.get(entity);
    if (builder === undefined) {
      builder = new ReadingBuilder(block);
      this.#byEntity.set(entity, builder);
    } else {
      builder.mention(block);
    }
    this.#builders.set(block, builder);
    return builder;
  }

  #fault(reason: ParseFaultReason, start: number, end: number): void {
    this.#faultCount += 1;
    if (this.#faults.length >= MAX_FAULTS) return;
    const text = this.#text.slice(start, Math.min(end, start + MAX_FAULT_TEXT));
    this.#faults.push({ lineNumber: this.#lineNumber, reason, text });
  }
}

/** The number in `VALUE` or `VALUE TIMESTAMP`; NaN for a value that says "unknown", undefined for no number. */
function valueOf(text: string): number | undefined {
  const space = text.indexOf(' ');
  const token = space < 0 ? text : text.slice(0, space);
  const value = Number(token);
  if (!Number.isNaN(value)) return space < 0 || isTimestamp(text.slice(space)) ? value : undefined;
  if (/^[+-]?(inf|nan)$/i.test(token) || isBlankText(text)) return Number.NaN;
  return undefined;
}

function isTimestamp(text: string): boolean {
  return /^ +-?\d+ *$/.test(text);
}

/** `ERROR - FAILED TO CONVERT TO STRING` and its like: the exporter's words, on a line that is otherwise sound. */
function faultOfValue(text: string): ParseFaultReason {
  return text.startsWith('ERROR') ? 'unconvertible' : 'syntax';
}
