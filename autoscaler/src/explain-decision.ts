/** A decision in plain sentences, for people: what, why, what else was considered, what held it back, what came of it. */
import type { DecisionView } from './decision-row.js';

export function explainDecision(decision: DecisionView): string {
  return [
    headline(decision),
    ...section(
      'Because',
      decision.reasons.map((reason) => reason.text),
    ),
    ...section(
      'Held against the rules',
      decision.guards.map((hit) => `${hit.text} (${hit.guard}, ${hit.effect})`),
    ),
    ...section(
      'Considered and left',
      decision.rejected.map(({ candidate, reason }) => `${candidate}: ${reason}`),
    ),
    ...section('Steps', decision.steps.map(stepSentence)),
    ...section('Outcome', decision.outcome === null ? [] : [decision.outcome.detail]),
    '',
    `Demand ${decision.forecast.demand_gpus} GPUs, expected ${decision.forecast.expected_gpus} (mean of ${decision.forecast.points} looks in ${decision.forecast.window_s} s).`,
    `Policy ${decision.policy_digest.slice(0, 12)}, inputs ${decision.input_digest.slice(0, 12)}; replay it with: poolmeter decisions replay ${decision.id}`,
  ].join('\n');
}

function headline({ id, decided_at, pool, action, targets, status, mode }: DecisionView): string {
  const names = targets.map((target) =>
    'node' in target ? target.node : `${target.count} × ${target.gpu_model}`,
  );
  const on = names.length === 0 ? '' : ` ${names.join(', ')}`;
  const verb: Readonly<Record<DecisionView['action'], string>> = {
    none: 'do nothing',
    scale_out: 'add',
    scale_in: 'give back',
    replace: 'replace',
    cordon: 'close to new work:',
  };
  return `${id}: at ${decided_at}, for pool ${pool}: ${verb[action]}${on}. It is ${status} (mode ${mode}).`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  - ${line}`)];
}

function stepSentence({
  kind,
  node,
  gpu_model,
  count,
  state,
  detail,
  at,
}: DecisionView['steps'][number]): string {
  const what = node === null ? `${kind} ${count ?? 0} × ${gpu_model ?? ''}` : `${kind} ${node}`;
  const when = at === null ? '' : ` at ${at}`;
  return `${what}: ${state}${when}${detail === '' ? '' : ` – ${detail}`}`;
}
