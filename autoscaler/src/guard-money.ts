/** Rules about money and size: what may be spent an hour, and what needs a person. */
import { add, compare } from '@poolmeter/domain';
import { costText, exact, perHour } from './cost-of-nodes.js';
import { addedByModel, advise, block, runningByModel, type Rule } from './guard-rule.js';
import { addedNodes, nodesOf } from './proposal.js';

/** A replacement is held to the cap too: for a while both nodes are paid for. */
export const costCap: Rule = (judged) => {
  const { max_cost_per_hour: cap, cost_per_gpu_hour: prices } = judged.policy.money;
  if (cap === null || addedNodes(judged.proposal.plan) === 0) return [];
  const running = perHour(prices, runningByModel(judged));
  const added = perHour(prices, addedByModel(judged.proposal.plan, judged));
  if (running === undefined || added === undefined) {
    return block('cost_unknown', 'A model has no cost in the policy, so the cap in money cannot be held.');
  }
  const after = add(running, added);
  if (compare(after, exact(cap)) <= 0) return [];
  const text = `It would cost ${costText(after, judged.policy)} an hour; the cap is ${costText(exact(cap), judged.policy)}.`;
  return block('max_cost_per_hour', text);
};

export const approval: Rule = (judged) => {
  const { observation, policy, proposal } = judged;
  if (observation.approved === true) return [];
  const { above_nodes: nodes, above_cost_per_hour: cost } = policy.approval;
  const moved = Math.max(addedNodes(proposal.plan), nodesOf(proposal).length);
  if (nodes !== null && moved > nodes) {
    return advise('approval', `${moved} nodes at once; more than ${nodes} need a person.`);
  }
  if (cost === null || addedNodes(proposal.plan) === 0) return [];
  const added = perHour(policy.money.cost_per_gpu_hour, addedByModel(proposal.plan, judged));
  if (added !== undefined && compare(added, exact(cost)) <= 0) return [];
  const what = added === undefined ? 'Its cost is not known' : `It costs ${costText(added, policy)} an hour`;
  return advise('approval', `${what}; above ${costText(exact(cost), policy)} a person decides.`);
};
