import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPools, poolForNode, poolsFileSchema } from './pools-file.js';
import {
  defaultScalingPolicy,
  parseScalingPolicy,
  policyDigestOf,
  scalingPolicySchema,
} from './scaling-policy.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-pools-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function load(text: string) {
  const path = join(folder, 'pools.yaml');
  await writeFile(path, text);
  return loadPools(path);
}

describe('pools.yaml', () => {
  it('reads the smallest form and fills in what is safe', async () => {
    const [main] = await load(
      `pools:\n  - {id: main, nodes: ["gpu-*"], provider: north, scheduler: {kind: slurm, url: "http://127.0.0.1:6820"}, mode: recommend}\n`,
    );
    expect(main).toEqual({
      id: 'main',
      nodePatterns: ['gpu-*'],
      providerId: 'north',
      scheduler: expect.objectContaining({ kind: 'slurm', url: 'http://127.0.0.1:6820' }) as unknown,
      mode: 'recommend',
      policy: defaultScalingPolicy,
    });
  });

  it('takes a policy from a file beside it, or written in place', async () => {
    await writeFile(join(folder, 'careful.yaml'), 'version: 1\nname: careful\nmax_nodes: 7\n');
    const loaded = await load(
      'pools:\n  - {id: a, nodes: [a], provider: p, policy: careful.yaml}\n  - {id: b, nodes: [b], provider: p, policy: {max_nodes: 9}}\n',
    );
    expect(loaded.map((pool) => [pool.policy.name, pool.policy.max_nodes])).toEqual([
      ['careful', 7],
      ['default', 9],
    ]);
  });

  it('reports every fault at once, each with its line', async () => {
    const text = `pools:
  - id: main
    nodes: []
    provider: north
    mode: sometimes
  - id: main
    nodes: ["x"]
    colour: red
`;
    const fault = await load(text).catch((thrown: unknown) => thrown as Error);
    const message = (fault as Error).message;
    expect(message).toContain('pools.yaml:3 pools.0.nodes:');
    expect(message).toContain('pools.yaml:5 pools.0.mode:');
    expect(message).toContain('pools.yaml:6 pools.1');
    expect(message).toContain('colour');
    await expect(load('pools: [\n')).rejects.toThrow(/pools\.yaml:\d+ /);
    await expect(load('pools:\n  - {id: a, id: b, nodes: [x], provider: p}\n')).rejects.toThrow(/unique/i);
    const twice = 'pools:\n  - {id: a, nodes: [x], provider: p}\n  - {id: a, nodes: [y], provider: p}\n';
    await expect(load(twice)).rejects.toThrow(/pools\.yaml:3 .*"a" is used twice/);
    await expect(loadPools(join(folder, 'absent.yaml'))).rejects.toThrow(/absent\.yaml cannot be read/);
  });

  it('gives a node to the first pool whose pattern matches its whole name', async () => {
    const loaded = await load(
      'pools:\n  - {id: special, nodes: ["gpu-1", "h?.rack*"], provider: p}\n  - {id: rest, nodes: ["gpu-*"], provider: p}\n',
    );
    const of = (node: string) => poolForNode(loaded, node)?.id;
    expect(['gpu-1', 'gpu-12', 'h1.rack7', 'h1xrack7', 'agpu-1', 'h12.rack'].map(of)).toEqual([
      'special',
      'rest',
      'special',
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('scaling policy', () => {
  it('has one digest for one meaning', () => {
    const digest = (text: string) => policyDigestOf(parseScalingPolicy({ text, name: 'p.yaml' }));
    expect(digest('{}')).toBe(digest('# a comment\nversion: 1\nname: default\n'));
    expect(digest('max_nodes: 5')).not.toBe(digest('max_nodes: 6'));
    expect(() => digest('max_node: 5')).toThrow(/p\.yaml:1 .*max_node/);
  });
});

describe('published schemas', () => {
  it.each([
    ['pools.schema.json', poolsFileSchema],
    ['scaling-policy.schema.json', scalingPolicySchema],
  ] as const)(
    '%s is what the code checks (write it with: node autoscaler/dist/write-schemas-main.js)',
    async (file, schema) => {
      const text = await readFile(new URL(`../../docs/schemas/${file}`, import.meta.url), 'utf8');
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: 'input' }))));
    },
  );
});
