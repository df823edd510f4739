/** What the fault monitor decided about a stretch of a GPU's time, as its published view gives it. */
import type { EpochMs } from '@poolmeter/domain';

type BillingClass = 'B' | 'C' | 'H';

export interface Verdict {
  readonly verdictId: string;
  readonly incidentId: string;
  /** Such as `xid-79`. */
  readonly code: string;
  readonly gpuUuid: string;
  /** '' for the whole GPU. */
  readonly gpuInstance: string;
  readonly node: string;
  readonly start: EpochMs;
  /** undefined while the fault lasts. */
  readonly end: EpochMs | undefined;
  /** B billable, C credited, H held until classified. */
  readonly billingClass: BillingClass;
  readonly blame: 'hardware' | 'application' | 'unknown';
  readonly policyVersion: string;
  /** Grows with every change of the verdict; an invoice pins the one that it used. */
  readonly revision: bigint;
  readonly evidenceSummary: string;
}

/** The stored and digested form. */
export function verdictToJson(verdict: Verdict): Record<string, unknown> {
  return {
    verdict_id: verdict.verdictId,
    incident_id: verdict.incidentId,
    code: verdict.code,
    gpu_uuid: verdict.gpuUuid,
    gpu_instance: verdict.gpuInstance,
    node: verdict.node,
    started_at: verdict.start,
    ended_at: verdict.end ?? null,
    billing_class: verdict.billingClass,
    blame: verdict.blame,
    policy_version: verdict.policyVersion,
    revision: verdict.revision.toString(),
    evidence_summary: verdict.evidenceSummary,
  };
}
