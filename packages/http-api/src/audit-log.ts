/** The record of who changed what. Entries are only ever added; the database refuses everything else. */
import { canonicalJson, type EpochMs } from '@poolmeter/domain';
import { sql, type QueryExecutorProvider } from 'kysely';
import type { Principal } from './principal.js';

export interface AuditEntry {
  readonly at: EpochMs;
  readonly principal: Principal;
  /** What was done, in the words of the API: `invoice.finalize`, `token.create`. */
  readonly action: string;
  readonly objectKind: string;
  readonly objectId: string;
  readonly requestId?: string;
  /** What helps to understand it later: the values before and after, the reason. Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Adds an entry in the caller's transaction, so that a change and its record stand or fall together. */
export async function writeAudit(transaction: QueryExecutorProvider, entry: AuditEntry): Promise<void> {
  const { binding, tokenId } = entry.principal;
  const bindingId = binding.kind === 'operator' ? null : binding.id;
  await sql`
    INSERT INTO access.audit_log
      (at, token_id, binding_kind, binding_id, action, object_kind, object_id, request_id, details)
    VALUES (${new Date(entry.at)}, ${tokenId}, ${binding.kind}, ${bindingId}, ${entry.action},
      ${entry.objectKind}, ${entry.objectId}, ${entry.requestId ?? null}, ${canonicalJson(entry.details ?? {})}::text::jsonb)
  `.execute(transaction);
}
