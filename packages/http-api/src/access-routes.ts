/** `/v1/tokens`, `/v1/audit-log` and `/v1/whoami`. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { formatInstant, instantFromMs, type Clock, type IdSource } from '@poolmeter/domain';
import type { Context } from 'hono';
import type { Kysely } from 'kysely';
import type { AccessDatabase } from './access-database.js';
import type { ApiEnv } from './api-env.js';
import { writeAudit } from './audit-log.js';
import { decodeCursor, encodeCursor } from './cursor.js';
import { answerList, listQuery, listResponses, page, pageOf } from './list.js';
import { anyPrincipal, operatorOnly, requireScope } from './access-rule.js';
import { isScope } from './principal.js';
import { createRouter } from './router.js';
import { instantSchema } from './shape.js';
import { createTokenStore, type TokenInfo, type TokenStore } from './token-store.js';

export interface AccessRoutesOptions {
  readonly db: Kysely<AccessDatabase>;
  readonly clock: Clock;
  readonly ids: IdSource;
}

const bindingSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('operator') }),
    z.strictObject({ kind: z.literal('customer'), id: z.string().min(1).max(200) }),
    z.strictObject({ kind: z.literal('provider'), id: z.string().min(1).max(200) }),
  ])
  .openapi('Binding');

const scopesSchema = z
  .array(z.string().refine(isScope, 'write resource:read, resource:write, *:read, *:write or *'))
  .min(1)
  .openapi({ example: ['invoices:read'] });

const tokenSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(z.string()),
    binding: bindingSchema,
    created_at: instantSchema,
    last_used_at: instantSchema.nullable(),
    revoked_at: instantSchema.nullable(),
  })
  .openapi('Token');

const newTokenSchema = z.strictObject({
  name: z.string().min(1).max(200),
  scopes: scopesSchema,
  binding: bindingSchema.default({ kind: 'operator' }),
});

const tokenReading = [operatorOnly(), requireScope('tokens:read')];
const tokenWriting = [operatorOnly(), requireScope('tokens:write')];

const whoami = createRoute({
  method: 'get',
  path: '/v1/whoami',
  summary: 'Whose token this is and what it may do',
  middleware: [anyPrincipal()],
  responses: {
    200: {
      description: 'The caller.',
      content: {
        'application/json': {
          schema: z.object({ token_id: z.string(), binding: bindingSchema, scopes: z.array(z.string()) }),
        },
      },
    },
  },
});

const listTokens = createRoute({
  method: 'get',
  path: '/v1/tokens',
  summary: 'All tokens, without their secrets',
  middleware: tokenReading,
  responses: listResponses(tokenSchema),
});

const createToken = createRoute({
  method: 'post',
  path: '/v1/tokens',
  summary: 'A new token; its secret is in this answer only',
  middleware: tokenWriting,
  request: { body: { required: true, content: { 'application/json': { schema: newTokenSchema } } } },
  responses: {
    201: {
      description: 'The token.',
      content: { 'application/json': { schema: z.object({ id: z.string(), token: z.string() }) } },
    },
  },
});

const revokeToken = createRoute({
  method: 'delete',
  path: '/v1/tokens/{id}',
  summary: 'Ends a token and its sessions for good',
  middleware: tokenWriting,
  request: { params: z.object({ id: z.string().max(200) }) },
  responses: { 204: { description: 'Revoked.' } },
});

const auditSchema = z
  .object({
    id: z.string(),
    at: instantSchema,
    token_id: z.string(),
    binding: bindingSchema,
    action: z.string(),
    object_kind: z.string(),
    object_id: z.string(),
    request_id: z.string().nullable(),
    details: z.record(z.string(), z.unknown()),
  })
  .openapi('AuditEntry');

const listAudit = createRoute({
  method: 'get',
  path: '/v1/audit-log',
  summary: 'Who changed what, newest first',
  middleware: [operatorOnly(), requireScope('audit-log:read')],
  request: {
    query: listQuery.extend({ object_kind: z.string().optional(), object_id: z.string().optional() }),
  },
  responses: listResponses(auditSchema),
});

export function accessRoutes(options: AccessRoutesOptions): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  router.openapi(whoami, (c) => {
    const { tokenId, binding, scopes } = c.get('principal');
    return c.json({ token_id: tokenId, binding, scopes: [...scopes] }, 200);
  });
  router.openapi(listTokens, async (c) => {
    const tokens = await createTokenStore(options).list();
    return answerList(c, page(tokens.map(tokenToJson), null));
  });
  router.openapi(createToken, async (c) => {
    const wanted = c.req.valid('json');
    const created = await changeTokens(c, options, async (tokens) => {
      const made = await tokens.create(wanted);
      return { made, audit: { action: 'token.create', objectId: made.id, details: { ...wanted } } };
    });
    return c.json({ ...created }, 201);
  });
  router.openapi(revokeToken, async (c) => {
    const { id } = c.req.valid('param');
    await changeTokens(c, options, async (tokens) => {
      await tokens.revoke(id);
      return { made: undefined, audit: { action: 'token.revoke', objectId: id } };
    });
    return c.body(null, 204);
  });
  router.openapi(listAudit, async (c) => answerList(c, await readAudit(options.db, c.req.valid('query'))));
  return router;
}

interface TokenChange<Made> {
  readonly made: Made;
  readonly audit: {
    readonly action: string;
    readonly objectId: string;
    readonly details?: Record<string, unknown>;
  };
}

/** Changes tokens and writes the audit entry in one transaction: neither is there without the other. */
function changeTokens<Made>(
  c: Context<ApiEnv>,
  options: AccessRoutesOptions,
  change: (tokens: TokenStore) => Promise<TokenChange<Made>>,
): Promise<Made> {
  return options.db.transaction().execute(async (transaction) => {
    const { made, audit } = await change(createTokenStore({ ...options, db: transaction }));
    await writeAudit(transaction, {
      ...audit,
      at: options.clock.now(),
      principal: c.get('principal'),
      requestId: c.get('requestId'),
      objectKind: 'token',
    });
    return made;
  });
}

function tokenToJson(token: TokenInfo): z.output<typeof tokenSchema> {
  const instant = (at: TokenInfo['revokedAt']) => (at === undefined ? null : formatInstant(at));
  return {
    id: token.tokenId,
    name: token.name,
    scopes: [...token.scopes],
    binding: token.binding,
    created_at: formatInstant(token.createdAt),
    last_used_at: instant(token.lastUsedAt),
    revoked_at: instant(token.revokedAt),
  };
}

interface AuditQuery extends z.output<typeof listQuery> {
  readonly object_kind?: string | undefined;
  readonly object_id?: string | undefined;
}

async function readAudit(db: Kysely<AccessDatabase>, query: AuditQuery) {
  let select = db
    .selectFrom('access.audit_log')
    .selectAll()
    .orderBy('entry_id', 'desc')
    .limit(query.limit + 1);
  if (query.object_kind !== undefined) select = select.where('object_kind', '=', query.object_kind);
  if (query.object_id !== undefined) select = select.where('object_id', '=', query.object_id);
  if (query.cursor !== undefined) {
    const before = decodeCursor('audit-log', query.cursor, z.string().regex(/^\d+$/));
    select = select.where('entry_id', '<', BigInt(before));
  }
  const rows = (await select.execute()).map((row) => ({
    id: row.entry_id.toString(),
    at: formatInstant(instantFromMs(row.at.getTime())),
    token_id: row.token_id,
    binding: { kind: row.binding_kind, ...(row.binding_id === null ? {} : { id: row.binding_id }) },
    action: row.action,
    object_kind: row.object_kind,
    object_id: row.object_id,
    request_id: row.request_id,
    details: row.details,
  }));
  return pageOf(rows, query.limit, (last) => encodeCursor('audit-log', last.id));
}
