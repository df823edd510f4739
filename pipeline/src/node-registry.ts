/** Which provider owns which node: what a message's topic is held against. */
import { PoolmeterError } from '@poolmeter/domain';
import { column, defineQuery, type MetricsStore } from '@poolmeter/metrics-store';
import { readConfigFile } from '@poolmeter/service';
import { nodeMatches } from '@poolmeter/telemetry-schema';
import { z } from 'zod';

export interface NodeRegistry {
  /** The provider that owns a node for which `claimant` speaks; undefined when nobody is known to own it. */
  ownerOf(node: string, claimant: string): string | undefined;
}

export interface NodeOwner {
  /** Names or patterns, as in the pools file. */
  readonly nodes: readonly string[];
  readonly provider: string;
}

/** Nodes that are remembered; beyond it the one longest known is looked up, or learned, anew. */
const NODES_MAX = 200_000;

/** A node belongs to the first owner with a pattern that matches its whole name. */
export function createNodeTable(owners: readonly NodeOwner[]): NodeRegistry {
  const known = new Map<string, string | undefined>();
  return {
    ownerOf(node) {
      if (!known.has(node)) remember(known, node, owners.find((owner) => ownsNode(owner, node))?.provider);
      return known.get(node);
    },
  };
}

/**
 * A node belongs to the provider that spoke for it first. Enough where providers trust one another's first word; where
 * they do not, the pools file must say whose the nodes are.
 */
export function createLearnedNodes(seed: Iterable<readonly [node: string, provider: string]>): NodeRegistry {
  const known = new Map(seed);
  return {
    ownerOf(node, claimant) {
      if (!known.has(node)) remember(known, node, claimant);
      return known.get(node);
    },
  };
}

const poolsSchema = z.object({
  pools: z.array(z.object({ nodes: z.array(z.string().min(1)).min(1), provider: z.string().min(1) })),
});

/** The owners that a pools file names; its other keys are not the pipeline's. */
export function readNodeOwners(path: string): readonly NodeOwner[] {
  const parsed = poolsSchema.safeParse(readConfigFile(path));
  if (parsed.success) return parsed.data.pools;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new PoolmeterError(
    'config.invalid',
    `${path} does not say whose the nodes are: ${faults.join('; ')}.`,
  );
}

const nodeProviders = defineQuery({
  name: 'node-providers',
  sql: `
    SELECT
      node,
      argMin(gpu_samples_1h.provider_id, gpu_samples_1h.ts) AS provider_id
    FROM gpu_samples_1h
    WHERE gpu_samples_1h.ts >= now() - INTERVAL 30 DAY
    GROUP BY node
    ORDER BY node
    LIMIT {limit:UInt32}`,
  params: z.strictObject({ limit: z.int().min(1) }),
  row: z.object({ node: column.text, provider_id: column.text }),
});

/** Who spoke for which node first in the last 30 days, so that a restart does not forget it. */
async function readLearnedNodes(store: Pick<MetricsStore, 'query'>): Promise<NodeRegistry> {
  const rows = await store.query(nodeProviders, { limit: NODES_MAX });
  return createLearnedNodes(rows.map((row) => [row.node, row.provider_id]));
}

export interface NodeRegistryOptions {
  /** The pools file, where there is one. */
  readonly pools: string | undefined;
  /** Who has topics of its own; without any nothing is asked. */
  readonly providers: readonly string[];
  readonly store: Partial<Pick<MetricsStore, 'query'>>;
}

/** What the pools file says, else what is known of who spoke for a node first. */
export async function openNodeRegistry({
  pools,
  providers,
  store,
}: NodeRegistryOptions): Promise<NodeRegistry> {
  if (pools !== undefined) return createNodeTable(readNodeOwners(pools));
  const { query } = store;
  if (providers.length === 0 || query === undefined) return createLearnedNodes([]);
  return readLearnedNodes({ query: query.bind(store) });
}

function ownsNode(owner: NodeOwner, node: string): boolean {
  return owner.nodes.some((pattern) => nodeMatches(pattern, node));
}

function remember<T>(known: Map<string, T>, node: string, provider: T): void {
  known.set(node, provider);
  if (known.size <= NODES_MAX) return;
  const [oldest] = known.keys();
  if (oldest !== undefined) known.delete(oldest);
}
