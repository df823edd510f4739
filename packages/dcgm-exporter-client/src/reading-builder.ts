import type { Attribution, GpuReading } from './gpu-reading.js';
import type { LabelBlock } from './label-block.js';

/** GPU_UTIL and FB_USED: the fields that newer exporters give per process, so that pods may differ on one GPU. */
const PER_PROCESS_FIELDS: ReadonlySet<number> = new Set([203, 252]);
const GPU_UTIL = 203;

/**
 * Gathers the rows of one GPU or instance. Exporters repeat a device's value for every pod and HPC job that shares it,
 * so that rows are merged, never added up:
 * - the same labels again (two scrapes in one text): the later row holds;
 * - other labels, equal value: a copy;
 * - other labels, other value: shares of the processes for the two fields above, which are added; otherwise skew
 *   between reads of one counter or gauge, of which the larger holds.
 */
export class ReadingBuilder {
  readonly #first: LabelBlock;
  readonly #values = new Map<number, number>();
  readonly #lastBlock = new Map<number, LabelBlock>();
  readonly #shares = new Map<number, Map<LabelBlock, number>>();
  readonly #attributions = new Map<string, Attribution>();

  constructor(block: LabelBlock) {
    this.#first = block;
    this.mention(block);
  }

  /** Notes the labels of a row, whatever its value. */
  mention(block: LabelBlock): void {
    if (this.#first.modelName === '') this.#first.modelName = block.modelName;
    if (this.#first.hostname === '') this.#first.hostname = block.hostname;
    if (this.#first.pciBusId === '') this.#first.pciBusId = block.pciBusId;
    const given = block.attribution;
    if (given !== undefined) this.#attributions.set(Object.values(given).join('\n'), given);
  }

  put(block: LabelBlock, fieldId: number, value: number): void {
    const before = this.#values.get(fieldId);
    if (PER_PROCESS_FIELDS.has(fieldId)) {
      this.#putShare(block, fieldId, value);
    } else if (before === undefined || this.#lastBlock.get(fieldId) === block || value > before) {
      this.#values.set(fieldId, value);
    }
    this.#lastBlock.set(fieldId, block);
  }

  #putShare(block: LabelBlock, fieldId: number, value: number): void {
    const shares = this.#shares.get(fieldId) ?? new Map<LabelBlock, number>();
    shares.set(block, value);
    this.#shares.set(fieldId, shares);
    const distinct = new Set(shares.values());
    const total = distinct.size === 1 ? value : [...shares.values()].reduce((sum, share) => sum + share, 0);
    this.#values.set(fieldId, fieldId === GPU_UTIL && distinct.size > 1 ? Math.min(total, 100) : total);
  }

  finish(): GpuReading {
    const { attribution: _attribution, aboutOtherThing: _other, ...identity } = this.#first;
    return { ...identity, attributions: [...this.#attributions.values()], values: this.#values };
  }
}
