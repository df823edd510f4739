/** Which waiting work the present supply will take, and what is left over. Pure bookkeeping, by model. */
import type { ObservedDemand, PoolObservation } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';
import type { ModelSupply, PoolSupply } from './supply.js';

export interface Shortage {
  readonly demand: ObservedDemand;
  readonly gpuModel: string;
  /** GPUs beyond what is free or coming. */
  readonly missingGpus: number;
}

export interface Placement {
  /** Free and coming GPUs that no waiting work needs, by model. */
  readonly left: ReadonlyMap<string, number>;
  /** Of these, nodes of which every GPU is free. */
  readonly wholeLeft: ReadonlyMap<string, number>;
  readonly shortages: readonly Shortage[];
  /** Work that no node of this pool could take, whatever is added. */
  readonly impossible: readonly ObservedDemand[];
}

/** Higher priority first, then longer waiting, then by id: the same input always gives the same placement. */
export function placeDemand(
  observation: PoolObservation,
  supply: PoolSupply,
  substitutes: ScalingPolicy['substitutes'] = {},
): Placement {
  const rooms = new Map(supply.byModel.map((model) => [model.gpuModel, roomOf(model)]));
  const shortages: Shortage[] = [];
  const impossible: ObservedDemand[] = [];
  const order = [...observation.pending].sort(
    (a, b) => b.priority - a.priority || a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1),
  );
  for (const demand of order) {
    const chosen = roomFor(demand, rooms, substitutes);
    if (chosen === undefined) {
      impossible.push(demand);
      continue;
    }
    // What a gang can already have stays reserved for it: the rest is added, not the whole.
    const missingGpus = takeFrom(chosen.room, demand);
    if (missingGpus > 0) shortages.push({ demand, gpuModel: chosen.gpuModel, missingGpus });
  }
  const left = new Map([...rooms].map(([gpuModel, room]) => [gpuModel, gpusIn(room.left)]));
  const wholeLeft = new Map([...rooms].map(([gpuModel, room]) => [gpuModel, room.left[room.perNode] ?? 0]));
  return { left, wholeLeft, shortages, impossible };
}

/** Nodes by how many of their GPUs are left; booting ones have all of theirs. */
interface Room {
  readonly perNode: number;
  readonly left: number[];
}

function roomOf({ gpusPerNode, nodesByFree, coming }: ModelSupply): Room {
  const left = Array.from({ length: gpusPerNode + 1 }, (_, free) => nodesByFree[free] ?? 0);
  const whole = Math.floor(coming / gpusPerNode);
  left[gpusPerNode] = (left[gpusPerNode] ?? 0) + whole;
  const rest = coming - whole * gpusPerNode;
  if (rest > 0) left[rest] = (left[rest] ?? 0) + 1;
  return { perNode: gpusPerNode, left };
}

/** The asked model; one that the policy lets stand in for it where that one is short; any, for work that takes any. */
function roomFor(
  demand: ObservedDemand,
  rooms: ReadonlyMap<string, Room>,
  substitutes: ScalingPolicy['substitutes'],
): { readonly gpuModel: string; readonly room: Room } | undefined {
  const asked = demand.gpuModel;
  const names = asked === null ? byMostLeft(rooms) : [asked, ...(substitutes[asked] ?? [])];
  let first: { readonly gpuModel: string; readonly room: Room } | undefined;
  for (const gpuModel of names) {
    const room = rooms.get(gpuModel);
    if (room === undefined) continue;
    if (gpusIn(room.left) >= demand.gpus && takeFrom({ ...room, left: [...room.left] }, demand) === 0) {
      return { gpuModel, room };
    }
    first ??= { gpuModel, room };
  }
  return first;
}

function byMostLeft(rooms: ReadonlyMap<string, Room>): string[] {
  return [...rooms]
    .sort((a, b) => gpusIn(b[1].left) - gpusIn(a[1].left) || (a[0] < b[0] ? -1 : 1))
    .map(([gpuModel]) => gpuModel);
}

/** Takes the work's GPUs out of the room, and says how many it lacks. */
function takeFrom({ left, perNode }: Room, demand: ObservedDemand): number {
  if (demand.gang) return reserveFor(left, demand.gpus, perNode);
  let need = demand.gpus;
  for (let free = 1; free <= perNode && need > 0; free += 1) {
    while ((left[free] ?? 0) > 0 && need > 0) {
      const taken = Math.min(free, need);
      left[free] = (left[free] ?? 0) - 1;
      left[free - taken] = (left[free - taken] ?? 0) + 1;
      need -= taken;
    }
  }
  return need;
}

/**
 * Takes a gang out of nodes by their free GPUs: whole nodes, and the tightest node for the rest. Returns the GPUs that
 * it lacks; what it can have stays reserved for it.
 */
export function reserveFor(left: number[], gpus: number, perNode: number): number {
  let lacks = 0;
  let need = gpus;
  for (; need >= perNode; need -= perNode) {
    if ((left[perNode] ?? 0) > 0) left[perNode] = (left[perNode] ?? 0) - 1;
    else lacks += perNode;
  }
  if (need === 0) return lacks;
  for (let free = need; free <= perNode; free += 1) {
    if ((left[free] ?? 0) === 0) continue;
    left[free] = (left[free] ?? 0) - 1;
    left[free - need] = (left[free - need] ?? 0) + 1;
    return lacks;
  }
  return lacks + need;
}

export function gpusIn(left: readonly number[]): number {
  let gpus = 0;
  for (let free = 1; free < left.length; free += 1) gpus += free * (left[free] ?? 0);
  return gpus;
}

/** Work is due when it would wait longer than the target even if a node were asked for now. */
export function isDue(demand: ObservedDemand, observation: PoolObservation, policy: ScalingPolicy): boolean {
  const waitedS = (observation.observedAtMs - demand.sinceMs) / 1_000;
  return waitedS + policy.boot_estimate_s >= policy.target_wait_s;
}
