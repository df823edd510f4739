/** The parts of a classic Grafana dashboard that are needed to answer for its panels. */
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';

const targetSchema = z.looseObject({
  refId: z.string(),
  rawSql: z.string().optional(),
  hide: z.boolean().optional(),
});

const variableSchema = z.looseObject({
  name: z.string(),
  type: z.string(),
  /** 2 = not shown: such a variable is computed anew for each query. */
  hide: z.number().optional(),
  includeAll: z.boolean().optional(),
  multi: z.boolean().optional(),
  query: z.union([z.string(), z.looseObject({ rawSql: z.string().optional() })]).optional(),
  options: z.array(z.looseObject({ text: z.unknown(), value: z.unknown() })).optional(),
  current: z.looseObject({ value: z.union([z.string(), z.array(z.string())]).optional() }).nullish(),
});

const panelSchema = z.looseObject({
  id: z.int(),
  type: z.string(),
  title: z.string().optional(),
  targets: z.array(targetSchema).optional(),
  /** The panels of a row that is folded. */
  panels: z
    .array(z.looseObject({ id: z.int(), type: z.string(), targets: z.array(targetSchema).optional() }))
    .optional(),
});

const boardSchema = z.looseObject({
  uid: z.string(),
  title: z.string(),
  description: z.string().optional(),
  tags: z.array(z.string()).optional(),
  panels: z.array(panelSchema),
  templating: z.looseObject({ list: z.array(variableSchema).optional() }).optional(),
});

export type BoardVariable = z.output<typeof variableSchema>;
export type BoardPanel = Pick<z.output<typeof panelSchema>, 'id' | 'type' | 'targets'>;

export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly panels: readonly BoardPanel[];
  readonly variables: readonly BoardVariable[];
  /** The dashboard as it was given. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** Checks the boards once, at the start. */
export function parseBoards(values: readonly unknown[]): Board[] {
  return values.map((value, index) => {
    const result = boardSchema.safeParse(value);
    if (!result.success) {
      const faults = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
      throw new PoolmeterError(
        'config.invalid',
        `Board ${index} is no Grafana dashboard: ${faults.join('; ')}.`,
      );
    }
    const { uid, title, description = '', tags = [], panels, templating } = result.data;
    return {
      uid,
      title,
      description,
      tags,
      panels: panels.flatMap((panel): BoardPanel[] => [panel, ...(panel.panels ?? [])]),
      variables: templating?.list ?? [],
      json: value as Record<string, unknown>,
    };
  });
}

export function findBoard(boards: readonly Board[], uid: string): Board {
  const board = boards.find((one) => one.uid === uid);
  if (board === undefined)
    throw new PoolmeterError('not_found', `There is no board ${uid}; /v1/boards lists them.`);
  return board;
}

export function findPanel(board: Board, id: number): BoardPanel {
  const panel = board.panels.find((one) => one.id === id);
  if (panel === undefined)
    throw new PoolmeterError('not_found', `The board ${board.uid} has no panel ${id}.`);
  return panel;
}

/** The statement of a query variable; undefined for the other kinds. */
export function variableSql({ type, query }: BoardVariable): string | undefined {
  if (type !== 'query') return undefined;
  return typeof query === 'string' ? query : query?.rawSql;
}
