/** Notices leases that billing recorded or changed: they say whom an incident affects, and what idle means. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { IncidentStore, LeaseNotice } from '../store/incident-store.js';
import type { NodeNotice } from './watch-fleet.js';

/** A lease becomes visible when its transaction commits, which may be this long after the time that it was given. */
const COMMIT_DELAY_MS = 60_000;

export class LeaseWatch {
  readonly #incidents: IncidentStore;
  #recordedAt: EpochMs | undefined;
  /** Leases that were seen within the overlap, so that each is noticed once. */
  #seen = new Map<string, LeaseNotice>();

  constructor(incidents: IncidentStore) {
    this.#incidents = incidents;
  }

  /** The newest recording time that was seen: stored with the judgements. */
  get recordedAt(): EpochMs | undefined {
    return this.#recordedAt;
  }

  async look(): Promise<NodeNotice[]> {
    const mark = this.#recordedAt ?? (await this.#incidents.leasesRecordedAt());
    const from = instantFromMs(Math.max(0, (mark ?? 0) - COMMIT_DELAY_MS));
    const found = await this.#incidents.leasesRecordedSince(from);
    const notices = found.flatMap((lease) => {
      const before = this.#seen.get(lease.leaseId);
      if (before !== undefined && before.recordedAt === lease.recordedAt) return [];
      return noticesOf(lease, before);
    });
    this.#seen = new Map(found.map((lease) => [lease.leaseId, lease]));
    const newest = found.reduce((last, one) => Math.max(last, one.recordedAt), mark ?? 0);
    this.#recordedAt = newest === 0 ? undefined : instantFromMs(newest);
    return notices;
  }
}

function noticesOf(lease: LeaseNotice, before: LeaseNotice | undefined): NodeNotice[] {
  const notices: NodeNotice[] = [{ node: lease.node, from: changedFrom(lease, before) }];
  if (before !== undefined && before.node !== lease.node)
    notices.push({ node: before.node, from: before.start });
  return notices;
}

/** Only the time in which the two versions differ has to be judged again. */
function changedFrom(lease: LeaseNotice, before: LeaseNotice | undefined): EpochMs {
  const samePlace =
    before !== undefined &&
    before.node === lease.node &&
    before.gpuUuid === lease.gpuUuid &&
    before.gpuInstance === lease.gpuInstance &&
    before.start === lease.start;
  if (!samePlace) return instantFromMs(Math.min(lease.start, before?.start ?? lease.start));
  return instantFromMs(Math.min(before.end ?? lease.recordedAt, lease.end ?? lease.recordedAt));
}
