/** The demo pool and its agents: one collector per node, as on real hardware, following nodes that come and go. */
import { createCollector } from '@poolmeter/collector';
import type { Clock } from '@poolmeter/domain';
import type { EventBus } from '@poolmeter/event-bus';
import { servePool, type ServedNode, type ServedPool, type SimulatedPool } from '@poolmeter/pool-simulator';
import { repeatEvery, type Component, type Logger, type Telemetry } from '@poolmeter/service';

export interface DemoPoolOptions {
  readonly pool: SimulatedPool;
  readonly bus: Pick<EventBus, 'publish'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly intervalMs: number;
  /** Folder for kernel logs and the agents' state. */
  readonly directory: (...parts: string[]) => string;
}

export interface DemoPool extends Component {
  readonly schedulerUrl: string;
}

const FOLLOW_MS = 2_000;
const SPOOL_BYTES = 64 * 1024 * 1024;

export function createDemoPool(options: DemoPoolOptions): DemoPool {
  const { clock, logger, pool } = options;
  const served = servePool({ pool, clock, logger, kernelLogDir: options.directory('kernel-log') });
  const agents = new Map<string, Component>();
  const following = repeatEvery({
    name: 'demo agents',
    everyMs: FOLLOW_MS,
    clock,
    logger,
    run: () => followNodes(options, { served, agents }),
  });
  return {
    name: 'demo pool',
    get schedulerUrl() {
      return served.schedulerUrl;
    },
    async start() {
      await served.start();
      await followNodes(options, { served, agents });
      await following.start();
    },
    async stop() {
      await following.stop();
      await Promise.all([...agents.values()].map((agent) => agent.stop()));
      await served.stop();
    },
  };
}

async function followNodes(
  options: DemoPoolOptions,
  { served, agents }: { served: ServedPool; agents: Map<string, Component> },
): Promise<void> {
  const nodes = new Map(served.exporters().map((node) => [node.node, node]));
  for (const [name, agent] of agents) {
    if (nodes.has(name)) continue;
    agents.delete(name);
    await agent.stop();
  }
  for (const [name, node] of nodes) {
    if (agents.has(name)) continue;
    const agent = agentOf(node, options);
    await agent.start();
    agents.set(name, agent);
  }
}

function agentOf(node: ServedNode, options: DemoPoolOptions): Component {
  const { bus, clock, logger, telemetry, intervalMs, pool } = options;
  const of = { node: node.node, pool: pool.shape.pool, providerId: node.providerId };
  return createCollector({
    bus,
    clock,
    logger: logger.child({ node: node.node }),
    telemetry,
    config: {
      targets: [{ ...of, url: node.url }],
      kernelLogs: [{ ...of, file: node.kernelLogFile }],
      intervalMs,
      stateDir: options.directory('agents', node.node),
      agent: `demo:${node.node}`,
      demo: true,
      spoolMaxBytes: SPOOL_BYTES,
    },
  });
}
