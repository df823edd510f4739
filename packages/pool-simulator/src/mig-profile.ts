import { fraction, PoolmeterError, type Fraction } from '@poolmeter/domain';

/** One way to cut an 80 GB board: compute slices of 7 and memory, as `nvidia-smi mig -lgip` lists them. */
export interface MigProfile {
  readonly name: string;
  readonly computeSlices: number;
  readonly memoryMib: number;
  /** The GPU instance ids that the driver gives to this profile, in order. */
  readonly instanceIds: readonly number[];
}

const SLICES = 7;

export const migProfiles: readonly MigProfile[] = [
  { name: '1g.10gb', computeSlices: 1, memoryMib: 9_728, instanceIds: [7, 8, 9, 10, 11, 12, 13] },
  { name: '2g.20gb', computeSlices: 2, memoryMib: 19_968, instanceIds: [3, 4, 5] },
  { name: '3g.40gb', computeSlices: 3, memoryMib: 40_192, instanceIds: [1, 2] },
  { name: '4g.40gb', computeSlices: 4, memoryMib: 40_192, instanceIds: [1] },
  { name: '7g.80gb', computeSlices: 7, memoryMib: 81_050, instanceIds: [0] },
];

/** One GPU instance of a board. */
export interface MigInstance {
  /** GPU instance id, as the `GPU_I_ID` label says. */
  readonly instanceId: number;
  readonly profile: MigProfile;
  /** Compute slices of the seven, exact. */
  readonly share: Fraction;
}

/** The instances of a board cut into these profiles; refused when they do not fit on it. */
export function migInstancesOf(profileNames: readonly string[]): MigInstance[] {
  const used = new Set<number>();
  const instances = profileNames.map((name) => {
    const profile = migProfiles.find((one) => one.name === name);
    const instanceId = profile?.instanceIds.find((id) => !used.has(id));
    if (profile === undefined || instanceId === undefined) {
      throw new PoolmeterError('input.invalid', `MIG profile "${name}" is unknown or used too often.`);
    }
    used.add(instanceId);
    return { instanceId, profile, share: fraction(BigInt(profile.computeSlices), BigInt(SLICES)) };
  });
  const slices = instances.reduce((sum, one) => sum + one.profile.computeSlices, 0);
  if (slices <= SLICES) return instances;
  throw new PoolmeterError(
    'input.invalid',
    `MIG profiles ${profileNames.join('+')} need ${slices} slices; a board has ${SLICES}.`,
  );
}
