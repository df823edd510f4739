/** The policies that a backtest knows by name, and the parameters that a sweep tries. */
import { parse } from 'yaml';
import { defaultScalingPolicy, parseScalingPolicy, scalingPolicySchema } from '../scaling-policy.js';
import { parseYaml } from '../yaml-document.js';
import { classicPolicySchema, type ClassicPolicy } from './classic-policies.js';
import type { BacktestPolicy } from './run-backtest.js';

const classic = (name: string, given: Partial<ClassicPolicy>): BacktestPolicy => ({
  name,
  kind: 'classic',
  policy: classicPolicySchema.parse(given),
});

export const builtInPolicies: readonly BacktestPolicy[] = [
  { name: 'oracle', kind: 'oracle' },
  { name: 'static-peak', kind: 'static-peak' },
  { name: 'static-mean', kind: 'static-mean' },
  classic('hpa-like', { kind: 'hpa-like' }),
  classic('cluster-autoscaler-like', { kind: 'cluster-autoscaler-like' }),
  classic('ray-like', { kind: 'ray-like' }),
  { name: 'poolmeter', kind: 'poolmeter', policy: defaultScalingPolicy },
];

/** A built-in by its name, else the text of a policy file: with `kind` a classic policy, else a scaling policy. */
export function builtInPolicy(name: string): BacktestPolicy | undefined {
  return builtInPolicies.find((policy) => policy.name === name);
}

export function parseBacktestPolicy(source: { text: string; name: string }): BacktestPolicy {
  const given: unknown = parse(source.text);
  if (given !== null && typeof given === 'object' && 'kind' in given) {
    const policy = parseYaml(classicPolicySchema, source);
    return { name: policy.name ?? source.name, kind: 'classic', policy };
  }
  const policy = parseScalingPolicy(source);
  return { name: policy.name, kind: 'poolmeter', policy };
}

const UNNEEDED_S = [0, 60, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800];

/** Every classic policy at many parameters. */
export function classicSweep(): BacktestPolicy[] {
  const hpa = [0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95].flatMap((target) =>
    [0, 300, 900, 1_800].map((stabilize) =>
      classic(`hpa-like target ${target} window ${stabilize} s`, {
        kind: 'hpa-like',
        target_ratio: target,
        stabilize_s: stabilize,
      }),
    ),
  );
  const cluster = UNNEEDED_S.flatMap((unneeded) =>
    [0, 600].map((afterAdd) =>
      classic(`cluster-autoscaler-like unneeded ${unneeded} s, after add ${afterAdd} s`, {
        kind: 'cluster-autoscaler-like',
        unneeded_s: unneeded,
        after_add_s: afterAdd,
      }),
    ),
  );
  const ray = UNNEEDED_S.flatMap((idle) =>
    [0.1, 1, 10].map((speed) =>
      classic(`ray-like idle ${idle} s, speed ${speed}`, {
        kind: 'ray-like',
        idle_s: idle,
        upscaling_speed: speed,
      }),
    ),
  );
  return [...hpa, ...cluster, ...ray];
}

/** The scaling policy at parameters that are worth trying; the best one of a first half is held to the second. */
export function policySweep(): BacktestPolicy[] {
  return [0.02, 0.03, 0.05, 0.07, 0.1].flatMap((ratio) =>
    [300, 900, 1_800].flatMap((idle) =>
      [4, 16].map((step) => ({
        name: `poolmeter headroom ${ratio} idle ${idle} s step ${step}`,
        kind: 'poolmeter' as const,
        policy: scalingPolicySchema.parse({
          headroom: { ratio },
          scale_in: { idle_for_s: idle },
          scale_out: { max_nodes_per_step: step },
        }),
      })),
    ),
  );
}
