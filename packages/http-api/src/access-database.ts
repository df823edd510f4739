/** The tables of schema `access`, as migrations/*.sql creates them. */
import type { MigrationSet } from '@poolmeter/relational-store';
import type { Generated } from 'kysely';

export interface AccessDatabase {
  'access.tokens': {
    token_id: string;
    token_hash: Uint8Array;
    name: string;
    scopes: string[];
    binding_kind: 'operator' | 'customer' | 'provider';
    binding_id: string | null;
    created_at: Date;
    last_used_at: Date | null;
    revoked_at: Date | null;
  };
  'access.sign_in_codes': {
    code_hash: Uint8Array;
    token_id: string;
    expires_at: Date;
    used_at: Date | null;
  };
  'access.sessions': {
    session_hash: Uint8Array;
    token_id: string;
    created_at: Date;
    expires_at: Date;
  };
  'access.idempotency_keys': {
    token_id: string;
    key: string;
    fingerprint: Uint8Array;
    created_at: Date;
    locked_until: Date;
    status: number | null;
    headers: Readonly<Record<string, string>> | null;
    body: Uint8Array | null;
  };
  'access.audit_log': {
    entry_id: Generated<bigint>;
    at: Date;
    token_id: string;
    binding_kind: string;
    binding_id: string | null;
    action: string;
    object_kind: string;
    object_id: string;
    request_id: string | null;
    details: Readonly<Record<string, unknown>>;
  };
}

/** The migrations of schema `access`, for `runMigrations`. */
export const accessMigrations: MigrationSet = {
  name: 'access',
  directory: new URL('../migrations/', import.meta.url),
};
