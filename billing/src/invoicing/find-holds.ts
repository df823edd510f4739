/** What keeps an invoice from being final: undecided faults, overlapping leases, GPUs without a price (rule 7a). */
import { Money, NO_GPU_TIME } from '@poolmeter/domain';
import { sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import type { Hold } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';
import { worthOf } from './priced-groups.js';
import type { PriceFinder } from '../rating/find-price.js';

interface HoldingWorld {
  readonly inputs: PeriodInputs;
  readonly prices: PriceFinder;
}

/** Of held intervals: one hold per undecided incident, and one per overlap. */
export function holdsOf(held: readonly MeteredInterval[], world: HoldingWorld): Hold[] {
  const disputed = held.filter((one) => one.overlapsWith.length > 0);
  const undecided = held.filter((one) => one.overlapsWith.length === 0);
  const overlaps = groupBy(disputed, (one) => one.lease.leaseId);
  const incidents = groupBy(undecided, (one) => one.verdicts.map((verdict) => verdict.incidentId).join(' '));
  return [
    ...incidents.map(([, members]) => incidentHold(members, world)),
    ...overlaps.map(([, members]) => overlapHold(members, world)),
  ];
}

function incidentHold(members: readonly MeteredInterval[], world: HoldingWorld): Hold {
  const verdicts = members.flatMap((one) => one.verdicts);
  const incidentIds = [...new Set(verdicts.map((verdict) => verdict.incidentId))].sort();
  return {
    reason: 'incident_not_final',
    description: `Incident ${incidentIds.join(', ')} (${verdicts[0]?.code ?? ''}) is not classified yet.`,
    gpuTime: sumTimes(members.map((one) => one.gpuTime)),
    blocked: worthIn(members, world),
    suggestedOwner: 'operations',
    clearedBy: 'a billing class of B or C for the incident',
    leaseIds: leaseIdsOf(members),
    incidentIds,
  };
}

function overlapHold(members: readonly MeteredInterval[], world: HoldingWorld): Hold {
  const leaseId = members[0]?.lease.leaseId ?? '';
  const others = [...new Set(members.flatMap((one) => one.overlapsWith))].sort();
  return {
    reason: 'charge_disputed',
    description: `Lease ${leaseId} overlaps with ${others.join(', ')} on GPU ${members[0]?.lease.gpuUuid ?? ''}.`,
    gpuTime: sumTimes(members.map((one) => one.gpuTime)),
    blocked: worthIn(members, world),
    suggestedOwner: 'finance',
    clearedBy: 'an end, amendment or cancellation of one of the leases',
    leaseIds: [leaseId, ...others],
    incidentIds: [],
  };
}

function worthIn(members: readonly MeteredInterval[], { inputs, prices }: HoldingWorld) {
  return worthOf(members, { prices, currency: inputs.customer.currency });
}

/** What people objected to. */
export function disputeHolds({ disputes, customer }: PeriodInputs): Hold[] {
  return disputes.map((dispute) => ({
    reason: dispute.reason,
    description: dispute.description,
    gpuTime: NO_GPU_TIME,
    blocked: dispute.blocked === undefined ? undefined : Money.of(dispute.blocked, customer.currency),
    suggestedOwner: dispute.owner,
    clearedBy: `${dispute.clearedBy}, then release hold ${dispute.holdId}`,
    leaseIds: [],
    incidentIds: dispute.incidentIds,
  }));
}

/** A GPU without a price is never charged as zero. */
export function missingPriceHolds(unpriced: readonly MeteredInterval[], inputs: PeriodInputs): Hold[] {
  const kinds = groupBy(unpriced, (one) =>
    JSON.stringify([one.lease.gpuModel, one.lease.pool, one.lease.pricingMode]),
  );
  return kinds.map(([, members]): Hold => {
    const { gpuModel, pool, pricingMode } = members[0]?.lease ?? { gpuModel: '', pool: '', pricingMode: '' };
    const gpus = [...new Set(members.map((one) => one.lease.gpuUuid))].sort();
    const named =
      gpus.length > 3 ? `${gpus.slice(0, 3).join(', ')} and ${gpus.length - 3} more` : gpus.join(', ');
    return {
      reason: 'missing_price',
      description: `There is no ${inputs.customer.currency} price for ${gpuModel} (${named}), pool ${pool}, ${pricingMode}, at ${new Date(members[0]?.span.start ?? 0).toISOString()}.`,
      gpuTime: sumTimes(members.map((one) => one.gpuTime)),
      blocked: undefined,
      suggestedOwner: 'finance',
      clearedBy: 'a price for it: add a rate to the price book and apply it',
      leaseIds: leaseIdsOf(members),
      incidentIds: [],
    };
  });
}

function leaseIdsOf(members: readonly MeteredInterval[]): string[] {
  return [...new Set(members.map((one) => one.lease.leaseId))].sort();
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
