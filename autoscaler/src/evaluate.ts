/** Decide and guard in one step: what runs live, in replay and in a backtest. */
import { canonicalJson } from '@poolmeter/domain';
import { decide } from './decide.js';
import type { Forecast } from './forecast.js';
import { guard } from './guard.js';
import type { PoolObservation } from './observation.js';
import type { GuardedProposal, GuardHit } from './proposal.js';
import type { ScalingPolicy } from './scaling-policy.js';

export interface Evaluation {
  readonly forecast: Forecast;
  readonly proposals: readonly GuardedProposal[];
}

export function evaluate(observation: PoolObservation, policy: ScalingPolicy): Evaluation {
  const { forecast, supply, proposals } = decide(observation, policy);
  const guarded = proposals.map((proposal) => guard(proposal, { observation, policy, supply }));
  return { forecast, proposals: oneAtATime(guarded) };
}

/** Each proposal was held against the caps alone; two together could pass them. The others follow at the next look. */
function oneAtATime(proposals: readonly GuardedProposal[]): GuardedProposal[] {
  const first = proposals.find((proposal) => proposal.disposition === 'act');
  return proposals.map((proposal) => {
    if (proposal === first || proposal.disposition !== 'act') return proposal;
    const text = 'Another action of this look goes first.';
    const hit: GuardHit = { guard: 'one_at_a_time', effect: 'block', text };
    return { ...proposal, guards: [...proposal.guards, hit], disposition: 'hold' };
  });
}

/** What makes a proposal another one than before: what it does and why, without the numbers of the moment. */
export function signatureOf(proposal: GuardedProposal): string {
  const { action, targets, reasons, guards, disposition } = proposal;
  return canonicalJson({
    action,
    targets,
    disposition,
    reasons: [...new Set(reasons.map((reason) => reason.code))].sort(),
    guards: guards.map((hit) => `${hit.guard}:${hit.effect}`).sort(),
  });
}
