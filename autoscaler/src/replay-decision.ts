/** Makes a stored decision again from its stored inputs, and says whether it comes out the same, bit for bit. */
import { canonicalJson } from '@poolmeter/domain';
import type { DecisionRow } from './decision-row.js';
import { CODE_VERSION, findDecision, readInputs, type AutoscalerStore } from './decision-store.js';
import { evaluate } from './evaluate.js';

export interface Replay {
  readonly id: string;
  readonly identical: boolean;
  readonly code_version: { readonly stored: string; readonly now: string };
  /** The values as canonical JSON. */
  readonly differences: readonly {
    readonly field: string;
    readonly stored: string;
    readonly recomputed: string;
  }[];
}

export async function replayDecision(store: AutoscalerStore, id: string): Promise<Replay> {
  const row = await findDecision(store, id);
  const { observation, policy } = await readInputs(store, row);
  const { proposals, forecast } = evaluate(observation, policy);
  const again = proposals.find((proposal) => proposal.action === row.action);
  const recomputed: Record<string, unknown> = {
    action: again?.action ?? proposals[0]?.action ?? 'none',
    targets: again?.targets ?? [],
    plan: again?.plan ?? [],
    reasons: again?.reasons ?? [],
    rejected: again?.rejected ?? [],
    guards: again?.guards ?? [],
    forecast,
  };
  const differences = Object.entries(storedFields(row))
    .map(([field, stored]) => ({
      field,
      stored: canonicalJson(stored),
      recomputed: canonicalJson(recomputed[field]),
    }))
    .filter((each) => each.stored !== each.recomputed);
  return {
    id,
    identical: differences.length === 0,
    code_version: { stored: row.code_version, now: CODE_VERSION },
    differences,
  };
}

function storedFields(row: DecisionRow): Record<string, unknown> {
  const { action, targets, reasons, rejected, guards, forecast } = row;
  return { action, targets, plan: row.steps.map((step) => step.action), reasons, rejected, guards, forecast };
}
