import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PoolmeterError, type ErrorCode } from '@poolmeter/domain';
import { z } from 'zod';

const instanceState = z.object({
  generation: z.int(),
  profile: z.string(),
  missedScrapes: z.int(),
  gone: z.boolean(),
});

const gpuState = z.object({
  node: z.string(),
  gpuIndex: z.int(),
  gpuModel: z.string(),
  driverVersion: z.string(),
  pciBusId: z.string(),
  energyMillijoules: z.number().nullable(),
  energyEpoch: z.int(),
  missedScrapes: z.int(),
  lost: z.boolean(),
  instances: z.record(z.string(), instanceState),
  expectedFields: z.record(z.string(), z.record(z.string(), z.int())),
});

const sourceState = z.object({
  health: z.enum(['up', 'partial', 'down']),
  failures: z.int(),
  firstFailureAtMs: z.number().nullable(),
  lastReason: z.enum(['http-status', 'timeout', 'refused', 'network', 'too-large', 'unparsable']).nullable(),
  partialScrapes: z.int(),
  wholeScrapes: z.int(),
  exporterStartedAtS: z.number().nullable(),
});

const logState = z.object({
  position: z.object({ file: z.string(), offset: z.int(), head: z.string(), headBytes: z.int() }),
  kernel: z.object({
    boot: z.object({ boots: z.int(), lastMicroseconds: z.string(), bootedAtMs: z.number().nullable() }),
    lastStamp: z.string(),
    sameLines: z.record(z.string(), z.int()),
  }),
  gpus: z.record(z.string(), z.string()),
});

const collectorStateSchema = z.object({
  version: z.literal(1),
  /** The epoch of the last start, as text. */
  epoch: z.string().regex(/^\d{1,19}$/),
  sources: z.record(z.string(), z.object({ source: sourceState, gpus: z.record(z.string(), gpuState) })),
  logs: z.record(z.string(), logState),
});

/** What the agent remembers over restarts: counters' epochs, instances' generations, places in logs. */
export type CollectorState = z.infer<typeof collectorStateSchema>;

const EMPTY: CollectorState = { version: 1, epoch: '0', sources: {}, logs: {} };

/** Keeps the state as one JSON file that is replaced whole, so that a crash leaves the old or the new one. */
export interface CollectorStateFile {
  load(): Promise<CollectorState>;
  save(state: CollectorState): Promise<void>;
}

export function collectorStateFile(directory: string): CollectorStateFile {
  const path = join(directory, 'collector-state.json');
  return {
    async load() {
      try {
        await mkdir(directory, { recursive: true });
        return parseState(path, await readFile(path, 'utf8'));
      } catch (fault) {
        if (codeOf(fault) === 'ENOENT') return EMPTY;
        throw storageFault(path, fault);
      }
    },
    async save(state) {
      try {
        const next = `${path}.next`;
        const handle = await open(next, 'w', 0o600);
        try {
          await handle.writeFile(JSON.stringify(state));
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(next, path);
      } catch (fault) {
        throw storageFault(path, fault);
      }
    },
  };
}

/** To begin anew in silence would restart energy epochs and read logs twice: a person decides that. */
function parseState(path: string, text: string): CollectorState {
  const parsed = collectorStateSchema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new PoolmeterError(
    'storage.corrupt',
    `${path} does not hold the collector's state: restore it, or move it away to begin anew.`,
    { details: { path }, cause: parsed.error },
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (fault) {
    return { unreadable: messageOf(fault) };
  }
}

function storageFault(path: string, fault: unknown): PoolmeterError {
  if (fault instanceof PoolmeterError) return fault;
  const codes: Readonly<Record<string, ErrorCode>> = {
    ENOSPC: 'storage.full',
    EDQUOT: 'storage.full',
    EROFS: 'storage.read_only',
    EACCES: 'storage.read_only',
    EPERM: 'storage.read_only',
  };
  const code = codes[codeOf(fault) ?? ''] ?? 'internal';
  return new PoolmeterError(code, `The collector's state in ${path} cannot be kept: ${messageOf(fault)}.`, {
    retriable: true,
    details: { path },
    cause: fault,
  });
}

function codeOf(fault: unknown): string | undefined {
  return fault instanceof Error && 'code' in fault && typeof fault.code === 'string' ? fault.code : undefined;
}
