/** API tokens in PostgreSQL: created once, shown once, kept as hashes, revoked for good. */
import { createHash, randomBytes } from 'node:crypto';
import { instantFromMs, PoolmeterError, type Clock, type EpochMs, type IdSource } from '@poolmeter/domain';
import type { Kysely, Selectable } from 'kysely';
import type { AccessDatabase } from './access-database.js';
import { isScope, type Binding, type Principal, type TokenVerifier } from './principal.js';

export interface NewToken {
  /** What the token is for, so that a person knows which one to revoke. */
  readonly name: string;
  readonly scopes: readonly string[];
  readonly binding: Binding;
}

/** A token as it may be shown: everything but its secret. */
export interface TokenInfo extends NewToken {
  readonly tokenId: string;
  readonly createdAt: EpochMs;
  readonly lastUsedAt: EpochMs | undefined;
  readonly revokedAt: EpochMs | undefined;
}

export interface TokenStore extends TokenVerifier {
  /** The secret is in the answer and nowhere else; it cannot be read again. */
  create(token: NewToken): Promise<{ readonly id: string; readonly token: string }>;
  list(): Promise<TokenInfo[]>;
  /** Ends a token and its sessions. Revoking twice changes nothing; an unknown id is `not_found`. */
  revoke(tokenId: string): Promise<void>;
}

export interface TokenStoreOptions {
  readonly db: Kysely<AccessDatabase>;
  readonly clock: Clock;
  readonly ids: IdSource;
}

/** `last_used_at` is written at most this often per token, so that reading costs no write. */
const USE_RESOLUTION_MS = 60_000;

/** A new secret with a prefix that people and scanners recognise: 256 random bits. */
export function newSecret(prefix: 'pm_' | 'pms_' | 'pmc_'): string {
  return prefix + randomBytes(32).toString('base64url');
}

/** What is kept of a secret. It has 256 random bits, so a plain SHA-256 is as strong as the secret. */
export function hashOfSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

export function createTokenStore(options: TokenStoreOptions): TokenStore {
  const { db, clock } = options;
  return {
    create: (token) => createToken(options, token),
    async verify(token) {
      if (!token.startsWith('pm_')) return undefined;
      const row = await db
        .selectFrom('access.tokens')
        .selectAll()
        .where('token_hash', '=', hashOfSecret(token))
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      return row === undefined ? undefined : usePrincipal(options, row);
    },
    async verifySession(session) {
      const row = await db
        .selectFrom('access.sessions')
        .innerJoin('access.tokens', 'access.tokens.token_id', 'access.sessions.token_id')
        .selectAll('access.tokens')
        .where('access.sessions.session_hash', '=', hashOfSecret(session))
        .where('access.sessions.expires_at', '>', new Date(clock.now()))
        .where('access.tokens.revoked_at', 'is', null)
        .executeTakeFirst();
      return row === undefined ? undefined : usePrincipal(options, row);
    },
    async list() {
      const rows = await db
        .selectFrom('access.tokens')
        .selectAll()
        .orderBy('created_at')
        .orderBy('token_id')
        .execute();
      return rows.map(infoOf);
    },
    async revoke(tokenId) {
      const known = await db
        .updateTable('access.tokens')
        .set((row) => ({ revoked_at: row.fn.coalesce('revoked_at', row.val(new Date(clock.now()))) }))
        .where('token_id', '=', tokenId)
        .returning('token_id')
        .executeTakeFirst();
      if (known === undefined) throw new PoolmeterError('not_found', `There is no token ${tokenId}.`);
      await db.deleteFrom('access.sessions').where('token_id', '=', tokenId).execute();
    },
  };
}

async function createToken(
  options: TokenStoreOptions,
  token: NewToken,
): Promise<{ id: string; token: string }> {
  const wrong = token.scopes.filter((scope) => !isScope(scope));
  if (token.scopes.length === 0 || wrong.length > 0) {
    const what = wrong.length === 0 ? 'A token needs a scope' : `Not a scope: ${wrong.join(', ')}`;
    throw new PoolmeterError(
      'input.invalid',
      `${what}: write resource:read, resource:write, *:read, *:write or *.`,
    );
  }
  const id = options.ids.next('tok');
  const secret = newSecret('pm_');
  await options.db
    .insertInto('access.tokens')
    .values({
      token_id: id,
      token_hash: hashOfSecret(secret),
      name: token.name,
      scopes: [...token.scopes],
      binding_kind: token.binding.kind,
      binding_id: token.binding.kind === 'operator' ? null : token.binding.id,
      created_at: new Date(options.clock.now()),
      last_used_at: null,
      revoked_at: null,
    })
    .execute();
  return { id, token: secret };
}

type TokenRow = Selectable<AccessDatabase['access.tokens']>;

async function usePrincipal({ db, clock }: TokenStoreOptions, row: TokenRow): Promise<Principal> {
  const now = clock.now();
  if (row.last_used_at === null || now - row.last_used_at.getTime() >= USE_RESOLUTION_MS) {
    await db
      .updateTable('access.tokens')
      .set({ last_used_at: new Date(now) })
      .where('token_id', '=', row.token_id)
      .execute();
  }
  return { tokenId: row.token_id, binding: bindingOf(row), scopes: row.scopes };
}

function infoOf(row: TokenRow): TokenInfo {
  const instant = (at: Date | null) => (at === null ? undefined : instantFromMs(at.getTime()));
  return {
    tokenId: row.token_id,
    name: row.name,
    scopes: row.scopes,
    binding: bindingOf(row),
    createdAt: instantFromMs(row.created_at.getTime()),
    lastUsedAt: instant(row.last_used_at),
    revokedAt: instant(row.revoked_at),
  };
}

function bindingOf(row: TokenRow): Binding {
  if (row.binding_kind === 'operator') return { kind: 'operator' };
  if (row.binding_id === null) throw new Error(`Token ${row.token_id} is bound to nobody.`);
  return { kind: row.binding_kind, id: row.binding_id };
}
