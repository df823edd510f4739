/** A pool under Slurm: read over slurmrestd, changed with scontrol (v0.0.38) or over REST (later versions). */
import { PoolmeterError, systemClock, type Clock, type EpochMs } from '@poolmeter/domain';
import { ActionMemory } from '../action-memory.js';
import { checkedObservation } from '../check-observation.js';
import { exchange, type ExchangeTarget } from '../http-exchange.js';
import type { PoolContext } from '../pool-context.js';
import type { HeldShare, Scheduler } from '../scheduler.js';
import type { SecretSource } from '../secret-source.js';
import { SinceStates } from '../since-states.js';
import { refuseForgotten, SlurmAccount } from './slurm-account.js';
import { actOnSlurm } from './slurm-actions.js';
import { slurmNames, type SlurmNames } from './slurm-names.js';
import {
  isNodeInScope,
  observationFromSlurm,
  type SlurmAnswers,
  type SlurmScope,
} from './slurm-observation.js';
import { restUpdater, scontrolUpdater, type SlurmUpdater } from './slurm-updates.js';
import { jobsAnswer, nodesAnswer, wordsOfSlurmErrors } from './slurm-wire.js';

export interface SlurmSchedulerOptions {
  /** `http://host:6820`, or `unix:/run/slurmrestd.socket`. */
  readonly url: string;
  /** `v0.0.38` or later. */
  readonly apiVersion: string;
  readonly user: string;
  /** The JWT; none where slurmrestd knows the user by the socket (rest_auth/local). */
  readonly token: SecretSource;
  readonly partitions: readonly string[];
  readonly gpuModels: Readonly<Record<string, string>>;
  readonly pricingModes: Readonly<Record<string, HeldShare['pricingMode']>>;
  /** The command that changes nodes; undefined: REST where the version has it, else `scontrol`. */
  readonly scontrol: readonly string[] | undefined;
  readonly slurmConf: string | undefined;
  readonly holdPoweredDown: boolean;
  readonly bootTimeoutMs: number;
  /** As MinJobAge in slurm.conf. */
  readonly minJobAgeMs: number;
  readonly timeoutMs: number;
}

const KIND = 'slurm';
const FIRST_VERSION_WITH_UPDATES = 39;
/** Lease watching asks for an account right after a look; one pair of answers serves both. */
const ANSWERS_SERVE_MS = 2_000;

export function createSlurmScheduler(options: SlurmSchedulerOptions, pool: PoolContext): Scheduler {
  const clock = pool.clock ?? systemClock;
  const target = targetOf(options);
  const update = updaterOf(options, target);
  const scope: SlurmScope = { nodePatterns: pool.nodePatterns, partitions: options.partitions };
  const states = new SinceStates({ bootTimeoutMs: options.bootTimeoutMs });
  const account = new SlurmAccount();
  const memory = new ActionMemory();
  let latest: SlurmAnswers | undefined;

  const readNodes = (signal?: AbortSignal) =>
    exchange(target, {
      method: 'GET',
      path: `slurm/${options.apiVersion}/nodes`,
      signal,
      answer: nodesAnswer,
    });
  const read = async (signal: AbortSignal | undefined): Promise<SlurmAnswers> => {
    latest = undefined;
    // Nodes first: a job that starts in between shows as held on a node that looks free, never the other way round.
    const nodes = await readNodes(signal);
    const path = `slurm/${options.apiVersion}/jobs`;
    const jobs = await exchange(target, { method: 'GET', path, signal, answer: jobsAnswer });
    account.note(jobs);
    latest = { nodes, jobs, at: clock.now() };
    return latest;
  };
  const lookAt = async (name: string) => {
    const nodes = await readNodes();
    return nodes.find((node) => node.name === name && isNodeInScope(node, scope));
  };
  return {
    kind: KIND,
    capabilities: new Set(['cordon', 'uncordon', 'drain', 'power_up', 'power_down', 'accounting']),
    async observe(signal) {
      const [answers, names] = await Promise.all([read(signal), namesOf(options, pool)]);
      const seen = observationFromSlurm(answers, { scope, names });
      return checkedObservation(KIND, { ...seen, nodes: states.note(seen.nodes, seen.observedAt) });
    },
    act(action, { idempotencyKey, reason }) {
      const deps = { lookAt, update, holdPoweredDown: options.holdPoweredDown, clock };
      return memory.once(idempotencyKey, { action, act: () => actOnSlurm(deps, action, reason) });
    },
    async accounting(since: EpochMs, signal) {
      refuseForgotten(since, { now: clock.now(), minJobAgeMs: options.minJobAgeMs });
      const [answers, names] = await Promise.all([
        isRecent(latest, clock) ? latest : read(signal),
        namesOf(options, pool),
      ]);
      const inPool = new Set(
        answers.nodes.filter((node) => isNodeInScope(node, scope)).map((node) => node.name),
      );
      return account.sharesSince(since, { answers, names }).filter((share) => inPool.has(share.node));
    },
  };
}

function isRecent(answers: SlurmAnswers | undefined, clock: Clock): answers is SlurmAnswers {
  return answers !== undefined && Math.abs(clock.now() - answers.at) < ANSWERS_SERVE_MS;
}

async function namesOf(options: SlurmSchedulerOptions, pool: PoolContext): Promise<SlurmNames> {
  const uuids = (await pool.gpuUuids?.()) ?? new Map<string, string>();
  const { gpuModels, pricingModes } = options;
  return slurmNames({ pool: pool.id, providerId: pool.providerId, gpuModels, pricingModes, uuids });
}

function targetOf(options: SlurmSchedulerOptions): ExchangeTarget {
  const socketPath = options.url.startsWith('unix:') ? options.url.slice('unix:'.length) : undefined;
  return {
    name: 'Slurm',
    baseUrl: socketPath === undefined ? options.url : 'http://slurmrestd',
    socketPath,
    timeoutMs: options.timeoutMs,
    headers: async () => {
      const token = await options.token();
      // slurmrestd calls a request without these headers unauthorised before it looks at anything else.
      return token === undefined ? {} : { 'x-slurm-user-name': options.user, 'x-slurm-user-token': token };
    },
    wordsOfFailure: (body) => {
      try {
        return wordsOfSlurmErrors(JSON.parse(body));
      } catch {
        // Not JSON: the body is shown as it is.
        return undefined;
      }
    },
  };
}

function updaterOf(options: SlurmSchedulerOptions, target: ExchangeTarget): SlurmUpdater {
  const version = /^v0\.0\.(\d+)$/.exec(options.apiVersion)?.[1];
  if (version === undefined) {
    throw new PoolmeterError(
      'config.invalid',
      `"${options.apiVersion}" is no version of slurmrestd: write v0.0.38.`,
    );
  }
  if (options.scontrol === undefined && Number(version) >= FIRST_VERSION_WITH_UPDATES) {
    return restUpdater(target, options.apiVersion);
  }
  return scontrolUpdater({
    command: options.scontrol ?? ['scontrol'],
    slurmConf: options.slurmConf,
    timeoutMs: options.timeoutMs,
  });
}
