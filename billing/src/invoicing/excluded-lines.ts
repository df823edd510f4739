/** The lines that show what was not charged: one per incident and kind of GPU, with the evidence (billing rule 5). */
import { Money } from '@poolmeter/domain';
import { sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import type { InvoiceLine } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';
import { worthOf } from './priced-groups.js';
import type { PriceFinder } from '../rating/find-price.js';

interface ExcludingWorld {
  readonly inputs: PeriodInputs;
  readonly prices: PriceFinder;
}

export function excludedLines(intervals: readonly MeteredInterval[], world: ExcludingWorld): InvoiceLine[] {
  const byIncident = new Map<string, MeteredInterval[]>();
  for (const one of intervals) {
    const incidents = [...new Set(one.verdicts.map((verdict) => verdict.incidentId))].sort();
    const key = JSON.stringify([incidents, one.lease.gpuModel, one.lease.pool, one.lease.pricingMode]);
    const known = byIncident.get(key);
    if (known === undefined) byIncident.set(key, [one]);
    else known.push(one);
  }
  return [...byIncident]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, members]) => excludedLine(key, members, world));
}

function excludedLine(
  key: string,
  intervals: readonly MeteredInterval[],
  { inputs, prices }: ExcludingWorld,
): InvoiceLine {
  const { currency } = inputs.customer;
  const verdicts = [
    ...new Map(intervals.flatMap((one) => one.verdicts).map((one) => [one.verdictId, one])).values(),
  ];
  const first = intervals[0]?.lease;
  const codes = [...new Set(verdicts.map((verdict) => verdict.code))].join(', ');
  return {
    key: `excluded:${key}`,
    kind: 'excluded',
    description: `Not charged: ${codes} on ${first?.gpuModel ?? ''}, pool ${first?.pool ?? ''}`,
    gpuTime: sumTimes(intervals.map((one) => one.gpuTime)),
    unitPrice: undefined,
    amount: Money.zero(currency),
    formula: 'time under a credited verdict is not charged',
    priceVersion: '',
    parts: [],
    intervals,
    details: {
      incidents: verdicts.map((verdict) => ({
        incident_id: verdict.incidentId,
        verdict_id: verdict.verdictId,
        revision: verdict.revision.toString(),
        code: verdict.code,
        blame: verdict.blame,
        policy_version: verdict.policyVersion,
        evidence: verdict.evidenceSummary,
      })),
      not_charged: worthOf(intervals, { prices, currency })?.toJSON() ?? null,
    },
  };
}
