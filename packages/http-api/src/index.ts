export { createApi, createApiServer, type ApiOptions, type ApiServerOptions } from './api.js';
export type { ApiEnv } from './api-env.js';
export { createRouter, problemResponses } from './router.js';
export { anyPrincipal, operatorOnly, requireScope, type AccessRule } from './access-rule.js';
export {
  covers,
  isScope,
  maySee,
  refuseOthers,
  visibleRows,
  type Binding,
  type OwnerColumns,
  type Principal,
  type RowOwner,
  type TokenVerifier,
} from './principal.js';
export { inputFault, problemSchema, type InputFault } from './problem.js';
export {
  answerList,
  listQuery,
  listResponses,
  page,
  pageOf,
  pageSchema,
  prefersCsv,
  type Page,
} from './list.js';
export { decodeCursor, encodeCursor } from './cursor.js';
export { toCsv } from './csv.js';
export { gpuTimeSchema, instantInput, instantSchema, moneyInput, moneySchema } from './shape.js';
export { etagOf, requireIfMatch, setEtag } from './etag.js';
export { createRateLimit, type RateLimit, type RateLimitOptions } from './rate-limit.js';
export type { IdempotencyStore, KeyClaim, KeyedRequest, StoredAnswer } from './idempotency.js';
export {
  createIdempotencyStore,
  type PostgresIdempotencyOptions,
  type PostgresIdempotencyStore,
} from './idempotency-store.js';
export {
  createTokenStore,
  type NewToken,
  type TokenInfo,
  type TokenStore,
  type TokenStoreOptions,
} from './token-store.js';
export { createSignIn, type SignIn, type SignInOptions } from './sign-in.js';
export { writeAudit, type AuditEntry } from './audit-log.js';
export { accessRoutes, type AccessRoutesOptions } from './access-routes.js';
export { accessMigrations, type AccessDatabase } from './access-database.js';
