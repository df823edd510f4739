/**
 * What should be done in a pool: a pure function of what was observed and of the policy. It runs in production, in
 * replay and in backtests alike.
 */
import { decideReplace } from './decide-replace.js';
import { decideScaleIn } from './decide-scale-in.js';
import { decideScaleOut } from './decide-scale-out.js';
import { forecastDemand, type Forecast } from './forecast.js';
import type { PoolObservation } from './observation.js';
import { placeDemand } from './place-demand.js';
import type { Proposal, Reason } from './proposal.js';
import type { ScalingPolicy } from './scaling-policy.js';
import type { Situation } from './situation.js';
import { sum, supplyOf, type PoolSupply } from './supply.js';

export interface Decision {
  readonly forecast: Forecast;
  readonly supply: PoolSupply;
  /** One for each thing to do, the most urgent first; a single `none` when there is nothing. */
  readonly proposals: readonly Proposal[];
}

export function decide(observation: PoolObservation, policy: ScalingPolicy): Decision {
  const supply = supplyOf(observation, policy);
  const forecast = forecastDemand(observation, policy);
  const healthy = sum(supply.byModel.map((model) => model.healthy));
  const headroom = Math.max(policy.headroom.gpus, Math.ceil(policy.headroom.ratio * healthy));
  const reserveGpus = headroom + forecast.expected_gpus - forecast.demand_gpus;
  const placement = placeDemand(observation, supply, policy.substitutes);
  const situation: Situation = { observation, policy, supply, placement, forecast, reserveGpus };
  if (!observation.sources.scheduler.ok) {
    return { forecast, supply, proposals: [nothing(blindReasons(situation), [])] };
  }
  const replace = decideReplace(situation);
  const scaleOut = decideScaleOut(situation);
  // What was just found to be needed is not given back in the same breath.
  const scaleIn = scaleOut.action === 'none' ? decideScaleIn(situation) : undefined;
  const parts = [replace, scaleOut, ...(scaleIn === undefined ? [] : [scaleIn])];
  const asked = parts.filter((part) => part.action !== 'none');
  const proposals = asked.length > 0 ? asked : [nothing(quietReasons(situation), parts)];
  return { forecast, supply, proposals };
}

function nothing(reasons: readonly Reason[], parts: readonly Proposal[]): Proposal {
  return { action: 'none', targets: [], plan: [], reasons, rejected: parts.flatMap((part) => part.rejected) };
}

/** A scheduler that does not answer is never "no demand". */
function blindReasons({ observation }: Situation): Reason[] {
  return [
    {
      code: 'scheduler_failed',
      text: `The scheduler did not answer: ${observation.sources.scheduler.detail}`,
    },
  ];
}

function quietReasons({ supply, placement, forecast, reserveGpus }: Situation): Reason[] {
  const free = sum(supply.byModel.map((model) => model.free));
  const healthy = sum(supply.byModel.map((model) => model.healthy));
  const waiting = placement.shortages.length;
  const enough: Reason = {
    code: waiting === 0 ? 'enough' : 'waiting_work_left',
    text: `${forecast.demand_gpus} GPUs are asked for, ${healthy} are healthy, ${free} free; ${reserveGpus} should stay free.`,
  };
  return [enough, ...supply.faults];
}
