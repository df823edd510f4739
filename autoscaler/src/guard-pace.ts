/** Rules about how fast a pool may change: rates over an hour, back-off after failures, no swinging to and fro. */
import { block, type Rule } from './guard-rule.js';
import type { RecentAction } from './observation.js';
import { addedNodes, nodesOf } from './proposal.js';
import { sum } from './supply.js';

const HOUR_MS = 3_600_000;
const BACK_OFF_TIMES_MOST = 6;

const recentOf = (judged: Parameters<Rule>[0]): RecentAction[] =>
  (judged.observation.memory.recent ?? []).filter(
    // What seems to lie ahead counts too: a clock that was set back forgets nothing.
    (one) => judged.observation.observedAtMs - one.atMs < HOUR_MS,
  );

export const rateLimit: Rule = (judged) => {
  const { proposal, policy } = judged;
  const recent = recentOf(judged);
  const added = addedNodes(proposal.plan) + sum(recent.map((one) => one.nodesAdded));
  const removed = nodesOf(proposal).length + sum(recent.map((one) => one.nodesRemoved));
  const { scale_out: out, scale_in: back } = policy;
  if (proposal.action === 'scale_out' && added > out.max_nodes_per_hour) {
    return block('rate_limit', `It would add ${added} nodes in an hour; ${out.max_nodes_per_hour} may be.`);
  }
  if (proposal.action === 'scale_in' && removed > back.max_nodes_per_hour) {
    return block(
      'rate_limit',
      `It would give back ${removed} nodes in an hour; ${back.max_nodes_per_hour} may be.`,
    );
  }
  return [];
};

/** The doubt falls on the side of keeping: nodes may still be added while a pool swings. */
export const flapping: Rule = (judged) => {
  if (judged.proposal.action !== 'scale_in') return [];
  const ways = recentOf(judged)
    .map((one) => one.action)
    .filter((action) => action === 'scale_out' || action === 'scale_in');
  const turns = [...ways, 'scale_in'].filter((way, index, all) => index > 0 && way !== all[index - 1]).length;
  const most = judged.policy.scale_in.max_turns_per_hour;
  return turns <= most
    ? []
    : block('flapping', `The pool would turn ${turns} times in an hour; ${most} may be.`);
};

export const backOff: Rule = ({ proposal, observation, policy }) => {
  const failed = observation.memory.failedAdditions;
  if (proposal.action !== 'scale_out' || failed === undefined || failed.count === 0) return [];
  const firstS = policy.scale_out.back_off_s;
  const waitS = Math.min(firstS * 2 ** (failed.count - 1), firstS * BACK_OFF_TIMES_MOST);
  if (observation.observedAtMs - failed.lastMs >= waitS * 1_000) return [];
  return block(
    'back_off',
    `${failed.count} additions in a row brought no nodes: the next one waits ${waitS} s.`,
  );
};
