/** Changes of one Slurm node: with scontrol, because REST cannot before v0.0.39, or over REST from then on. */
import { execFile } from 'node:child_process';
import { PoolmeterError } from '@poolmeter/domain';
import { exchange, type ExchangeTarget } from '../http-exchange.js';
import type { ActionOutcome } from '../scheduler.js';
import { updateAnswer } from './slurm-wire.js';

export type SlurmNodeUpdate =
  | { readonly state: 'DRAIN'; readonly reason: string }
  | { readonly state: 'UNDRAIN' | 'RESUME' | 'POWER_UP' | 'POWER_DOWN' };

/** Undefined when it was done; throws when Slurm cannot be asked. */
export type SlurmUpdater = (
  node: string,
  update: SlurmNodeUpdate,
) => Promise<Extract<ActionOutcome, { ok: false }> | undefined>;

const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
/** Slurm cuts nothing, but squeue and sinfo show reasons in one line. */
const MAX_REASON = 400;

/** One line of printable text: it comes from decisions and incidents, and ends in a terminal. */
export function reasonText(reason: string): string {
  const line = reason
    .replace(/[^\x21-\x7e]+/g, ' ')
    .replaceAll('"', "'")
    .trim();
  return (line.startsWith(OUR_WORD) ? line : `${OUR_WORD}: ${line}`).slice(0, MAX_REASON);
}

/** How a drain of ours begins, by which it is told from a person's. */
export const OUR_WORD = 'poolmeter';

export interface ScontrolOptions {
  /** The command and its first arguments. */
  readonly command: readonly string[];
  /** SLURM_CONF for it, where it is not the default one. */
  readonly slurmConf: string | undefined;
  readonly timeoutMs: number;
}

export function scontrolUpdater(options: ScontrolOptions): SlurmUpdater {
  return async (node, update) => {
    // A name is an argument of a command that knows patterns: `gpu[1-9]` would be nine nodes.
    if (!NODE_NAME.test(node)) return notFound(node);
    const changes = [`nodename=${node}`, `state=${update.state}`];
    if (update.state === 'DRAIN') changes.push(`reason=${update.reason}`);
    const words = await runScontrol(options, ['update', ...changes]);
    if (words === undefined) return undefined;
    if (/Invalid node name/i.test(words)) return notFound(node);
    if (/Invalid node state/i.test(words)) return { ok: false, reason: 'refused', detail: words };
    if (/access|permission denied/i.test(words)) {
      throw new PoolmeterError(
        'forbidden',
        `scontrol may not change nodes (${words}): run it as SlurmUser or a Slurm administrator.`,
      );
    }
    throw new PoolmeterError('dependency.unavailable', `scontrol could not change ${node}: ${words}.`, {
      retriable: true,
    });
  };
}

function notFound(node: string): Extract<ActionOutcome, { ok: false }> {
  return { ok: false, reason: 'not_found', detail: `Slurm has no node ${node}.` };
}

/** What it complained about; undefined when it did as it was told. */
function runScontrol(options: ScontrolOptions, args: readonly string[]): Promise<string | undefined> {
  const setting = options.slurmConf === undefined ? [] : ['env', `SLURM_CONF=${options.slurmConf}`];
  const [file = 'scontrol', ...first] = [...setting, ...options.command];
  return new Promise((resolve, reject) => {
    execFile(file, [...first, ...args], { timeout: options.timeoutMs }, (fault, _stdout, stderr) => {
      if (fault === null) {
        resolve(undefined);
      } else if (fault.code === 'ENOENT') {
        const advice = `install Slurm's client (Debian: slurm-client) or set scheduler.scontrol in the pools file`;
        reject(new PoolmeterError('config.invalid', `${file} is not there: ${advice}.`, { cause: fault }));
      } else if (fault.killed === true) {
        const message = `${file} did not end within ${options.timeoutMs} ms.`;
        reject(new PoolmeterError('timeout', message, { retriable: true, cause: fault }));
      } else {
        resolve(stderr.trim().replace(/^slurm_update error: /, '') || fault.message);
      }
    });
  });
}

export function restUpdater(target: ExchangeTarget, apiVersion: string): SlurmUpdater {
  return async (node, update) => {
    if (!NODE_NAME.test(node)) return notFound(node);
    const body =
      update.state === 'DRAIN' ? { state: ['DRAIN'], reason: update.reason } : { state: [update.state] };
    const path = `slurm/${apiVersion}/node/${node}`;
    await exchange(target, { method: 'POST', path, body, signal: undefined, answer: updateAnswer });
    return undefined;
  };
}
