/** `/v1/boards`: the dashboards themselves, for whoever draws them. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { operatorOnly, page, pageSchema, requireScope, type ApiEnv } from '@poolmeter/http-api';
import { findBoard, type Board } from './board.js';

const boardSchema = z
  .object({ uid: z.string(), title: z.string(), description: z.string(), tags: z.array(z.string()) })
  .openapi('Board');

const reading = [operatorOnly(), requireScope('queries:read')];

const listBoards = createRoute({
  method: 'get',
  path: '/v1/boards',
  summary: 'The dashboards, all on one page',
  middleware: reading,
  responses: {
    200: { description: 'All.', content: { 'application/json': { schema: pageSchema(boardSchema) } } },
  },
});

const showBoard = createRoute({
  method: 'get',
  path: '/v1/boards/{uid}',
  summary: 'One dashboard as Grafana reads it',
  middleware: reading,
  request: { params: z.object({ uid: z.string().max(100) }) },
  responses: {
    200: {
      description: 'The dashboard in Grafana’s classic JSON.',
      content: { 'application/json': { schema: z.record(z.string(), z.unknown()) } },
    },
  },
});

export function addBoardRoutes(
  router: OpenAPIHono<ApiEnv>,
  { boards }: { readonly boards: readonly Board[] },
): void {
  router.openapi(listBoards, (c) => {
    const rows = boards.map(({ uid, title, description, tags }) => ({
      uid,
      title,
      description,
      tags: [...tags],
    }));
    return c.json({ ...page(rows, null), data: rows }, 200);
  });

  router.openapi(showBoard, (c) => c.json(findBoard(boards, c.req.valid('param').uid).json, 200));
}
