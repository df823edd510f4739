/** What must outlive a restart of the demo pool: its seed, when its history began, how much of it is stored. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { instantFromMs, PoolmeterError, type Clock } from '@poolmeter/domain';
import { z } from 'zod';

const demoStateSchema = z.object({
  seed: z.int(),
  /** The simulated history begins here, epoch milliseconds. */
  start_at_ms: z.int().transform(instantFromMs),
  /** From here on the pool is scraped; everything before is filled in behind. */
  live_from_ms: z.int().transform(instantFromMs),
  /** The back-fill has published everything before this. */
  filled_until_ms: z.int().transform(instantFromMs),
});

export type DemoState = z.output<typeof demoStateSchema>;

const HISTORY_MS = 7 * 86_400_000;
const MINUTE_MS = 60_000;
/** History reaches a little past the start, so that no kernel line falls between it and the first look at the logs. */
const OVERLAP_MS = 5_000;
const DEFAULT_SEED = 20_260_301;

/** The state of an earlier start, or a fresh one whose history begins seven days ago. */
export async function loadDemoState(path: string, clock: Clock): Promise<DemoState> {
  const text = await readFile(path, 'utf8').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fault;
  });
  if (text === undefined) {
    const liveFrom = instantFromMs(clock.now() + OVERLAP_MS);
    const startAt = instantFromMs(Math.floor((clock.now() - HISTORY_MS) / MINUTE_MS) * MINUTE_MS);
    const fresh = {
      seed: DEFAULT_SEED,
      start_at_ms: startAt,
      live_from_ms: liveFrom,
      filled_until_ms: startAt,
    };
    await saveDemoState(path, fresh);
    return fresh;
  }
  const parsed = demoStateSchema.safeParse(tryJson(text));
  if (parsed.success) return parsed.data;
  throw new PoolmeterError(
    'storage.corrupt',
    `${path} is damaged: remove the data folder to begin a new demo, or start with --no-demo.`,
  );
}

export async function saveDemoState(path: string, state: DemoState): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify(state)}\n`);
  await rename(`${path}.new`, path);
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
