import { messageOf, type Clock } from '@poolmeter/domain';
import type { Command } from 'commander';
import type { ApiClient } from '../api-client.js';
import type { CommandContext, Terminal } from '../command-context.js';
import { busiestGpus, summaryLines } from '../summary-text.js';
import { readSummary, summaryToJson } from '../summary.js';
import { addClientCommand } from './client-command.js';

const REFRESH_MS = 2_000;
const DEFAULT_ROWS = 40;
const INCIDENTS_SHOWN_MAX = 5;
/** Borders, titles and the line at the bottom. */
const LINES_BESIDE_GPUS = 20;

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const CTRL_C = '\u0003';

/** `poolmeter top`: the summary, anew every two seconds; printed once where nobody looks at a screen. */
export function addTop(program: Command, context: CommandContext): void {
  addClientCommand(program, context, {
    usage: 'top',
    summary: 'live view of the pool; q leaves',
    async run({ client, print }) {
      const { terminal, clock } = context;
      if (print.json) print.value(summaryToJson(await readSummary(client, clock.now())));
      else if (terminal.isTerminal && terminal.listenToKeys !== undefined)
        await watch(client, terminal, clock);
      else print.lines(await screen(client, terminal, clock));
    },
  });
}

async function watch(client: ApiClient, terminal: Terminal, clock: Clock): Promise<void> {
  const leaving = new AbortController();
  const giveBack = terminal.listenToKeys?.((key) => {
    if (key === 'q' || key === CTRL_C) leaving.abort();
  });
  terminal.write(ENTER);
  try {
    while (!leaving.signal.aborted) {
      const lines = await screenOrFault(client, terminal, clock);
      draw(lines, terminal);
      await clock.sleep(REFRESH_MS, leaving.signal).catch(() => undefined);
    }
  } finally {
    terminal.write(LEAVE);
    giveBack?.();
  }
}

/** A poolmeter that is being restarted comes back: the view says so and goes on. */
async function screenOrFault(client: ApiClient, terminal: Terminal, clock: Clock): Promise<string[]> {
  try {
    return await screen(client, terminal, clock);
  } catch (fault) {
    return [messageOf(fault), '', 'Trying again every two seconds.'];
  }
}

async function screen(client: ApiClient, terminal: Terminal, clock: Clock): Promise<string[]> {
  const summary = await readSummary(client, clock.now());
  const bordered = terminal.isTerminal;
  const room =
    (terminal.rows ?? DEFAULT_ROWS) -
    LINES_BESIDE_GPUS -
    Math.min(INCIDENTS_SHOWN_MAX, summary.incidents.length);
  return [
    ...summaryLines(summary, { bordered: false, rows: INCIDENTS_SHOWN_MAX }),
    ...busiestGpus(summary, { bordered: false, rows: bordered ? Math.max(3, room) : summary.gpus.length }),
  ];
}

function draw(lines: readonly string[], terminal: Terminal): void {
  const width = terminal.columns ?? 80;
  const height = (terminal.rows ?? DEFAULT_ROWS) - 1;
  const shown = [...lines.slice(0, height - 1), 'q leaves'];
  terminal.write(HOME + shown.map((line) => `${line.slice(0, width)}${CLEAR_LINE}\n`).join('') + CLEAR_BELOW);
}
