/** `/v1/queries/{board}/{panel}`: the data of one panel, from the very statements that Grafana would run. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import type { EpochMs } from '@poolmeter/domain';
import {
  inputFault,
  instantInput,
  operatorOnly,
  pageSchema,
  requireScope,
  type ApiEnv,
} from '@poolmeter/http-api';
import { findBoard, findPanel, type Board } from './board.js';
import { readOptions, runPanelSql, type BoardQuery } from './board-query.js';
import type { PoolRoutesDeps } from './pool-routes-deps.js';

const frameSchema = z
  .object({
    ref_id: z.string().openapi({ description: 'The target of the panel.' }),
    columns: z.array(z.object({ name: z.string(), type: z.string() })).openapi({
      description: 'Names and ClickHouse types. 64-bit integers and decimals are strings, times RFC 3339.',
    }),
    rows: z.array(z.array(z.unknown())),
  })
  .openapi('QueryFrame');

const optionSchema = z.object({ value: z.string(), text: z.string() }).openapi('VariableOption');

const reading = [operatorOnly(), requireScope('queries:read')];
const VARIABLE_PREFIX = 'var-';
const HOUR_MS = 3_600_000;
const MAX_POINTS = 11_000;

interface QueryDeps extends Omit<PoolRoutesDeps, 'boards'> {
  readonly boards: readonly Board[];
}

/** Variables are parameters like all others, so those that no board has are refused. */
function querySchema(boards: readonly Board[]) {
  const names = new Set(boards.flatMap((board) => board.variables.map((variable) => variable.name)));
  const value = z
    .union([z.string().max(500), z.array(z.string().max(500)).max(1_000)])
    .optional()
    .openapi({ description: 'A variable of the board; repeat it for several values, `$__all` for all.' });
  return z.object({
    from: instantInput.optional().openapi({ description: 'One hour before `to` when absent.' }),
    to: instantInput.optional().openapi({ description: 'Exclusive; now when absent.' }),
    interval_ms: z.coerce
      .number()
      .int()
      .min(1)
      .max(31 * 24 * HOUR_MS)
      .optional()
      .openapi({
        description: 'Distance of the points; by the range when absent.',
      }),
    ...Object.fromEntries([...names].map((name) => [`${VARIABLE_PREFIX}${name}`, value])),
  });
}

function queryPanelRoute(boards: readonly Board[]) {
  return createRoute({
    method: 'get',
    path: '/v1/queries/{board}/{panel}',
    summary: 'The data of one dashboard panel, a frame for each of its targets',
    middleware: reading,
    request: {
      params: z.object({ board: z.string().max(100), panel: z.coerce.number().int().min(0) }),
      query: querySchema(boards),
    },
    responses: {
      200: {
        description: 'The frames.',
        content: { 'application/json': { schema: pageSchema(frameSchema) } },
      },
    },
  });
}

function queryVariableRoute(boards: readonly Board[]) {
  return createRoute({
    method: 'get',
    path: '/v1/boards/{board}/variables/{name}',
    summary: 'What a variable of a dashboard may be',
    middleware: reading,
    request: {
      params: z.object({ board: z.string().max(100), name: z.string().max(100) }),
      query: querySchema(boards),
    },
    responses: {
      200: {
        description: 'The values.',
        content: { 'application/json': { schema: pageSchema(optionSchema) } },
      },
    },
  });
}

export function addQueryRoutes(router: OpenAPIHono<ApiEnv>, deps: QueryDeps): void {
  router.openapi(queryPanelRoute(deps.boards), async (c) => {
    const { board, panel: id } = c.req.valid('param');
    const query = boardQueryOf(deps, { board: findBoard(deps.boards, board), asked: c.req.valid('query') });
    const targets = (findPanel(query.board, id).targets ?? []).filter((target) => target.hide !== true);
    const data = await Promise.all(
      targets.flatMap(({ refId, rawSql }) =>
        rawSql === undefined ? [] : [frameOf(query, { refId, rawSql, name: `panel ${id} ${refId}` })],
      ),
    );
    return c.json({ data, next_cursor: null }, 200);
  });

  router.openapi(queryVariableRoute(deps.boards), async (c) => {
    const { board: uid, name } = c.req.valid('param');
    const board = findBoard(deps.boards, uid);
    const variable = board.variables.find((one) => one.name === name);
    if (variable === undefined)
      throw inputFault([{ path: 'path.name', message: `is no variable of ${uid}` }]);
    const data = await readOptions(boardQueryOf(deps, { board, asked: c.req.valid('query') }), variable);
    return c.json({ data, next_cursor: null }, 200);
  });
}

async function frameOf(
  query: BoardQuery,
  { refId, rawSql, name }: { readonly refId: string; readonly rawSql: string; readonly name: string },
): Promise<z.output<typeof frameSchema>> {
  const { columns, rows } = await runPanelSql(query, rawSql, name);
  return {
    ref_id: refId,
    columns: columns.map((column) => ({ name: column.name, type: column.type })),
    rows: rows.map((row) => [...row]),
  };
}

interface AskedQuery {
  readonly from?: EpochMs | undefined;
  readonly to?: EpochMs | undefined;
  readonly interval_ms?: number | undefined;
  readonly [variable: string]: unknown;
}

function boardQueryOf(
  deps: QueryDeps,
  { board, asked }: { readonly board: Board; readonly asked: AskedQuery },
): BoardQuery {
  const to = asked.to ?? deps.clock.now();
  const from = asked.from ?? ((to - HOUR_MS) as EpochMs);
  if (from >= to) throw inputFault([{ path: 'query.from', message: 'must be before `to`' }]);
  const intervalMs = asked.interval_ms ?? niceIntervalMs((to - from) / 300);
  if ((to - from) / intervalMs > MAX_POINTS) {
    throw inputFault([
      { path: 'query.interval_ms', message: `gives more than ${MAX_POINTS} points: make it larger` },
    ]);
  }
  const chosen = new Map<string, readonly string[]>();
  for (const [name, value] of Object.entries(asked)) {
    if (!name.startsWith(VARIABLE_PREFIX) || value === undefined) continue;
    chosen.set(name.slice(VARIABLE_PREFIX.length), [value].flat() as string[]);
  }
  return { reader: deps.reader ?? deps.metrics, board, from, to, intervalMs, chosen };
}

const NICE_INTERVALS_S = [
  1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400,
];

function niceIntervalMs(ms: number): number {
  return 1_000 * (NICE_INTERVALS_S.find((seconds) => seconds * 1_000 >= ms) ?? 604_800);
}
