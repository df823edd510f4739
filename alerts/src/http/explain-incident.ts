/** Why an incident is what it is, in sentences that need no manual. */
import { formatInstant } from '@poolmeter/domain';
import type { EvidenceTable, IncidentTable, OperatorActionTable } from '../store/alerts-database.js';
import { instantOf, runbookOf } from '../store/incident-rows.js';

export interface ExplainedIncident {
  readonly incident: Omit<IncidentTable, 'created_at' | 'updated_at' | 'content_digest' | 'revision'>;
  /** The pieces that are kept, oldest first; the incident's count says how many there were. */
  readonly evidence: readonly Pick<EvidenceTable, 'ts' | 'fault_code' | 'message'>[];
  readonly actions: readonly Pick<OperatorActionTable, 'kind' | 'at' | 'actor' | 'reason'>[];
}

const billingMeaning = {
  B: 'The time is billed as usual (class B).',
  C: 'The time is credited: it is cut out of every lease that it touches (class C).',
  H: 'The time is held (class H): it is neither billed nor waived until somebody classifies it.',
} as const;

const blameMeaning = {
  hardware: 'The hardware is to blame.',
  application: 'The application that ran there is to blame.',
  unknown: 'Nobody is blamed yet.',
} as const;

const doneByOperator = { ack: 'acknowledged', resolve: 'resolved', classify: 'classified' } as const;

export function explainIncident(of: ExplainedIncident): string[] {
  const { incident } = of;
  return [
    `${incident.title} on ${placeOf(incident)}.`,
    ...evidenceSentences(of),
    `${blameMeaning[incident.blame]} ${billingMeaning[incident.billing_class]}`,
    stateSentence(incident),
    ...of.actions.map(
      (one) =>
        `${one.actor} ${doneByOperator[one.kind]} it at ${at(one.at)}${one.reason === '' ? '.' : `: ${one.reason}`}`,
    ),
    leaseSentence(incident.affected_lease_ids),
    `The policy ${incident.policy_version} decided; ${runbookOf(incident.code)} says what to do.`,
  ];
}

function placeOf(incident: ExplainedIncident['incident']): string {
  if (incident.subject_gpu_uuid !== '') {
    const instance = incident.subject_gpu_instance === '' ? '' : ` instance ${incident.subject_gpu_instance}`;
    return `GPU ${incident.subject_gpu_uuid}${instance} of node ${incident.node}`;
  }
  if (incident.subject_pci_bus_id !== '') {
    return `the GPU at ${incident.subject_pci_bus_id} of node ${incident.node}, whose UUID no scrape has told yet`;
  }
  return `node ${incident.node} with ${incident.gpu_uuids.length} GPUs`;
}

function evidenceSentences(of: ExplainedIncident): string[] {
  const leading = of.evidence.find((one) => one.fault_code === of.incident.code) ?? of.evidence[0];
  if (leading === undefined) return [];
  const sentences = [`It says so at ${at(leading.ts)}: ${leading.message}`];
  const codes = [...new Set(of.evidence.map((one) => one.fault_code))].filter(
    (code) => code !== of.incident.code,
  );
  const count = of.incident.evidence_count;
  if (codes.length > 0) sentences.push(`${codes.join(', ')} followed from it and is part of it.`);
  if (count > 1n) {
    const span = `between ${at(of.incident.opened_at)} and ${at(of.incident.last_evidence_at)}`;
    sentences.push(`${count} pieces of evidence ${span} are one incident.`);
  }
  return sentences;
}

function stateSentence(incident: ExplainedIncident['incident']): string {
  const reason = incident.reason;
  switch (incident.status) {
    case 'open':
    case 'acknowledged':
      return `It has been open since ${at(incident.opened_at)}. ${reason}`;
    case 'verifying':
      return `It is being verified since ${at(incident.verifying_since ?? incident.opened_at)}. ${reason}`;
    case 'resolved':
    case 'expired':
      return `It lasted from ${at(incident.opened_at)} to ${at(incident.cleared_at ?? incident.opened_at)}. ${reason}`;
  }
}

function leaseSentence(leaseIds: readonly string[]): string {
  return leaseIds.length === 0 ? 'No lease was affected.' : `Affected leases: ${leaseIds.join(', ')}.`;
}

function at(date: Date): string {
  return formatInstant(instantOf(date));
}
