/** Who is calling, what the token lets them do, and which rows they may see. */
import { PoolmeterError } from '@poolmeter/domain';

/** Whose token it is: the operator's, one customer's or one provider's. */
export type Binding =
  | { readonly kind: 'operator' }
  | { readonly kind: 'customer'; readonly id: string }
  | { readonly kind: 'provider'; readonly id: string };

/** The caller of a request, as its token says. */
export interface Principal {
  readonly tokenId: string;
  readonly binding: Binding;
  /** `resource:read`, `resource:write`, `*:read`, `*:write`, or `*` for everything. */
  readonly scopes: readonly string[];
}

/** Turns a presented secret into the caller, or into nothing when it is unknown, expired or revoked. */
export interface TokenVerifier {
  /** An API token from an `Authorization: Bearer` header. */
  verify(token: string): Promise<Principal | undefined>;
  /** The value of the console's session cookie; absent where there is no console. */
  verifySession?(session: string): Promise<Principal | undefined>;
}

const SCOPE = /^(?:\*|(?:\*|[a-z][a-z0-9-]*):(?:read|write))$/;

/** True for `*`, `*:read` and `invoices:read`; false for anything that would never grant anything. */
export function isScope(text: string): boolean {
  return SCOPE.test(text);
}

/** Whether the scopes of a token cover one needed scope. Writing does not include reading: a token says both. */
export function covers(scopes: readonly string[], needed: string): boolean {
  const verb = needed.slice(needed.indexOf(':') + 1);
  return scopes.some((scope) => scope === '*' || scope === needed || scope === `*:${verb}`);
}

/** The columns that say whose a row is. A kind that is left out may not read these rows at all. */
export interface OwnerColumns<Column extends string> {
  readonly customer?: Column;
  readonly provider?: Column;
}

/**
 * The restriction that a list must add to its query: `{ column, id }` for a customer's or provider's token, undefined
 * for an operator's. Throws when the kind of token has no column here, so that a forgotten case shows nothing.
 */
export function visibleRows<Column extends string>(
  principal: Principal,
  columns: OwnerColumns<Column>,
): { readonly column: Column; readonly id: string } | undefined {
  const { binding } = principal;
  if (binding.kind === 'operator') return undefined;
  const column = columns[binding.kind];
  if (column === undefined) {
    throw new PoolmeterError('forbidden', `A ${binding.kind}'s token cannot read this.`);
  }
  return { column, id: binding.id };
}

export interface RowOwner {
  readonly customerId?: string | null;
  readonly providerId?: string | null;
}

/** Whether the caller may see a row of this owner. */
export function maySee(principal: Principal, owner: RowOwner): boolean {
  switch (principal.binding.kind) {
    case 'operator':
      return true;
    case 'customer':
      return owner.customerId === principal.binding.id;
    case 'provider':
      return owner.providerId === principal.binding.id;
  }
}

/** Throws `not_found` for a row of somebody else: that it exists is none of the caller's business. */
export function refuseOthers(principal: Principal, owner: RowOwner, what: string): void {
  if (!maySee(principal, owner)) throw new PoolmeterError('not_found', `There is no ${what}.`);
}
