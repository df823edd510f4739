/**
 * What poolmeter reads of slurmrestd's answers, v0.0.38 (Slurm 22.05) and later. Later versions write
 * `{set, infinite, number}` where v0.0.38 writes a number, and lists of states where it writes one; both are read.
 */
import { z } from 'zod';

/** A number, or undefined where Slurm says that there is none. */
const numeric = z
  .union([
    z.number(),
    z.null(),
    z.object({ set: z.boolean(), infinite: z.boolean().optional(), number: z.number() }),
  ])
  .optional()
  .transform((value): number | undefined => {
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'number') return value;
    return value.set && value.infinite !== true ? value.number : undefined;
  });

/** `IDLE`, `idle` or `["IDLE","DRAIN"]`, always as a list of capitals. */
const states = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? [value] : value).map((one) => one.toUpperCase()));

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');

const list = z
  .union([z.string(), z.array(z.string())])
  .nullish()
  .transform((value) => {
    if (typeof value === 'string') return value === '' ? [] : value.split(',');
    return value ?? [];
  });

const nodeSchema = z.object({
  name: z.string().min(1).max(200),
  state: states,
  state_flags: z.array(z.string()).optional(),
  gres: text,
  gres_used: text,
  reason: text,
  reason_changed_at: numeric,
  boot_time: numeric,
  last_busy: numeric,
  alloc_cpus: numeric,
  partitions: list,
});

const jobSchema = z.object({
  job_id: z.int().min(1),
  restart_cnt: numeric,
  array_job_id: numeric,
  array_task_id: numeric,
  array_task_string: text,
  array_max_tasks: numeric,
  cluster: text,
  account: text,
  user_name: text,
  wckey: text,
  qos: text,
  partition: text,
  job_state: states,
  state_reason: text,
  priority: numeric,
  submit_time: numeric,
  eligible_time: numeric,
  start_time: numeric,
  end_time: numeric,
  nodes: text,
  node_count: numeric,
  tasks: numeric,
  sockets_per_node: numeric,
  tres_per_job: text,
  tres_per_node: text,
  tres_per_socket: text,
  tres_per_task: text,
  gres_detail: list,
});

export type SlurmNode = z.output<typeof nodeSchema>;
export type SlurmJob = z.output<typeof jobSchema>;

const errorWords = z.object({
  errors: z.array(
    z.object({
      error: z.string().optional(),
      description: z.string().optional(),
      source: z.string().optional(),
    }),
  ),
});

/** Slurm's own words for what went wrong; undefined when there are none. */
export function wordsOfSlurmErrors(value: unknown): string | undefined {
  const parsed = errorWords.safeParse(value);
  if (!parsed.success || parsed.data.errors.length === 0) return undefined;
  return parsed.data.errors
    .map((one) => [one.error, one.description, one.source].filter((word) => word !== undefined).join(', '))
    .join('; ');
}

/** An answer with a word in `errors` is a failure, whatever its status and its lists say. */
const errorFree = z
  .looseObject({ errors: z.array(z.unknown()).optional() })
  .superRefine((answer, context) => {
    if ((answer.errors ?? []).length === 0) return;
    const words = wordsOfSlurmErrors(answer) ?? JSON.stringify(answer.errors);
    context.addIssue({ code: 'custom', path: ['errors'], message: `Slurm reports: ${words}` });
  });

export const nodesAnswer = errorFree
  .pipe(z.object({ nodes: z.array(nodeSchema).min(1, 'a cluster has nodes') }))
  .transform((answer) => answer.nodes);

/** A cluster may have no job at all; that is an answer when nothing speaks against it. */
export const jobsAnswer = errorFree
  .pipe(z.object({ jobs: z.array(jobSchema) }))
  .transform((answer) => answer.jobs);

export const updateAnswer = errorFree;
