/** Where the consumers of the bus stand. */
import { billingConfigSchema } from '@poolmeter/billing';
import type { EventBus } from '@poolmeter/event-bus';
import { pipelineDefaults } from '@poolmeter/pipeline';
import { topics } from '@poolmeter/telemetry-schema';
import type { Manifest } from './manifest.js';

type Positions = NonNullable<Manifest['bus']>['positions_before'];

/** Of each group on each topic of ours; where a group has never committed there is none. */
export async function consumerPositions(bus: EventBus): Promise<Positions> {
  const groups = [pipelineDefaults().group, leaseEventsGroup()];
  // Those that exist, with the topics of single providers.
  const names = (await Promise.all(Object.values(topics).map((family) => bus.topics(family)))).flat();
  const found: Positions = [];
  for (const group of groups) {
    for (const topic of names) {
      for (const { partition, nextOffset } of await bus.committed(group, topic)) {
        found.push({ group, topic, partition, next_offset: nextOffset });
      }
    }
  }
  return found;
}

function leaseEventsGroup(): string {
  return billingConfigSchema.shape.leaseEventsGroup.parse(undefined);
}
