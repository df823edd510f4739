/** The collector of `up --scrape`: real exporters and kernel logs, one agent for all of them. */
import { createCollector } from '@poolmeter/collector';
import type { Pool } from '@poolmeter/autoscaler';
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import type { EventBus } from '@poolmeter/event-bus';
import type { Component, Logger, Telemetry } from '@poolmeter/service';
import { ownerOf } from './pools-of.js';
import type { UpOptions } from './up-options.js';

export interface RealAgentsOptions {
  readonly options: UpOptions;
  readonly pools: readonly Pool[];
  readonly bus: Pick<EventBus, 'publish'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly stateDir: string;
}

const NAMED = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)$/;

export function createRealAgents({ options, pools, stateDir, ...parts }: RealAgentsOptions): Component {
  const targets = options.scrape.map((text) => {
    const { node, value } = named(text);
    return { url: value, node, ...ownerOf(pools, node ?? new URL(value).hostname) };
  });
  const kernelLogs = options.kernelLogs.map((text) => {
    const { node, value } = named(text);
    if (node === undefined && targets.length !== 1) {
      throw new PoolmeterError(
        'config.invalid',
        `Say which node wrote ${value}: --kernel-log NODE=${value}.`,
      );
    }
    return { file: value, node, ...ownerOf(pools, node ?? targets[0]?.node ?? '') };
  });
  return createCollector({
    ...parts,
    config: { targets, kernelLogs, intervalMs: options.scrapeIntervalMs, stateDir },
  });
}

function named(text: string): { node: string | undefined; value: string } {
  const [, node, value] = NAMED.exec(text) ?? [];
  return node === undefined || value === undefined ? { node: undefined, value: text } : { node, value };
}
