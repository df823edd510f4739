/**
 * One lease on one simulated GPU, followed through every room: the worked example "xid 79" of the billing rules. The
 * GPU is away from 10:40:00.250 and back at 11:05:00.250; five healthy minutes later, at 11:10:00.250, it is verified.
 */
import { parseInstant } from '@poolmeter/domain';
import { defaultPoolShape } from '@poolmeter/pool-simulator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openVirtualWorld, type VirtualWorld } from './virtual-world.js';

const at = (time: string) => parseInstant(`2026-03-10T${time}Z`);
const H100 = 'NVIDIA H100 80GB HBM3';
const shape = { ...defaultPoolShape(), nodes: defaultPoolShape().nodes.slice(0, 1) };

interface Incident {
  readonly id: string;
  readonly code: string;
  readonly status: string;
  readonly billing_class: string;
  readonly gpu_uuids: readonly string[];
  readonly opened_at: string;
  readonly cleared_at: string | null;
  readonly affected_lease_ids: readonly string[];
}

interface Decision {
  readonly id: string;
  readonly action: string;
  readonly targets: readonly { readonly node?: string }[];
  readonly reasons: readonly unknown[];
}

interface Line {
  readonly id: string;
  readonly kind: string;
  readonly gpu_hours: string;
  readonly amount: { readonly amount: string; readonly currency: string };
  readonly description: string;
}

interface Invoice {
  readonly id: string;
  readonly status: string;
  readonly number: string | null;
  readonly total: { readonly amount: string; readonly currency: string };
  readonly lines: readonly Line[];
}

interface List<T> {
  readonly data: readonly T[];
}

describe('one lease with an Xid 79 on its way', () => {
  let world: VirtualWorld;
  let gpuUuid = '';

  beforeAll(async () => {
    world = await openVirtualWorld({
      startAt: at('09:40:00.250'),
      until: at('12:40:00.250'),
      stepMs: 10_000,
      shape,
      scenario: {
        leases: [
          {
            leaseId: 'lease-1',
            customerId: 'acme',
            project: 'train',
            node: 'gpu-01',
            gpuIndex: 3,
            startsAt: at('10:00:00'),
            endsAt: at('12:00:00'),
          },
        ],
        faults: [
          {
            kind: 'xid_79',
            node: 'gpu-01',
            gpuIndex: 3,
            at: at('10:40:00.250'),
            healthyAt: at('11:05:00.250'),
          },
        ],
      },
    });
    await world.post('/v1/prices', {
      currency: 'USD',
      effective_from: '2026-01-01T00:00:00Z',
      rates: [{ gpu_model: H100, pool: '*', pricing_mode: '*', per_gpu_hour: '3.00' }],
    });
  }, 60_000);

  afterAll(async () => {
    await world.stop();
  }, 30_000);

  it('opens an incident from the kernel line and proposes to replace the node while the lease still runs', async () => {
    await world.runUntil(at('10:45:00.250'));
    const incident = await world.waitFor('the incident', async () => {
      const open = await world.get<List<Incident>>('/v1/incidents?code=xid-79');
      return open.data.find((one) => one.affected_lease_ids.length > 0);
    });
    expect(incident).toMatchObject({
      status: 'open',
      billing_class: 'C',
      opened_at: '2026-03-10T10:40:00.250Z',
      cleared_at: null,
      affected_lease_ids: ['lease-1'],
    });
    gpuUuid = incident.gpu_uuids[0] ?? '';
    expect(gpuUuid).toMatch(/^GPU-/);
    const evidence = await world.get<List<{ message: string }>>(`/v1/incidents/${incident.id}/evidence`);
    expect(evidence.data.map((one) => one.message).join('\n')).toContain('GPU has fallen off the bus');

    const decision = await world.waitFor('the decision', async () => {
      const made = await world.get<List<Decision>>('/v1/decisions?pool=main');
      return made.data.find((one) => one.action === 'replace');
    });
    expect(decision.targets).toContainEqual(expect.objectContaining({ node: 'gpu-01' }));
    expect(JSON.stringify(decision.reasons)).toContain('gpu-01');
    await expect(world.post(`/v1/decisions/${decision.id}/replay`)).resolves.toMatchObject({
      identical: true,
    });
    const gpu = await world.get<{ state: string; lease: { lease_id: string } | null }>(`/v1/gpus/${gpuUuid}`);
    expect(gpu.state).toBe('lost');
    expect(gpu.lease?.lease_id).toBe('lease-1');
  }, 120_000);

  it('resolves the incident at the instant at which healthy telemetry proved the GPU', async () => {
    await world.runUntil(at('12:30:00.250'));
    const incident = await world.waitFor('its end', async () => {
      const all = await world.get<List<Incident>>('/v1/incidents?code=xid-79');
      return all.data.find((one) => one.status === 'resolved');
    });
    expect(incident.cleared_at).toBe('2026-03-10T11:10:00.250Z');
  }, 120_000);

  it('keeps the samples: none while the GPU was away, one per scrape otherwise', async () => {
    // 09:40:00.250 to 10:39:50.250 and 11:05:00.250 to 12:29:50.250, each end included, every 10 s.
    const expected = 360 + 510;
    const count = await world.waitFor('all samples', async () => {
      const page = await world.get<List<{ ts: string }>>(
        `/v1/gpus/${gpuUuid}/samples?from=2026-03-10T09:00:00Z&to=2026-03-10T12:30:00Z&step=0s&limit=1000`,
      );
      return page.data.length >= expected ? page.data.length : undefined;
    });
    expect(count).toBe(expected);
  }, 60_000);

  it('bills 1.5 hours, excludes half an hour with its evidence, and verifies', async () => {
    world.jumpTo(parseInstant('2026-04-02T01:00:00Z'));
    await world.post('/v1/invoices/finalize', { period: '2026-03' });
    const list = await world.get<List<{ id: string; status: string }>>(
      '/v1/invoices?customer_id=acme&period=2026-03',
    );
    const final = list.data.find((one) => one.status === 'final');
    const invoice = await world.get<Invoice>(`/v1/invoices/${final?.id ?? ''}`);
    expect(invoice.total).toEqual({ amount: '4.50', currency: 'USD' });
    expect(invoice.lines.find((line) => line.kind === 'usage')).toMatchObject({
      gpu_hours: '1.500000000',
      amount: { amount: '4.50', currency: 'USD' },
    });
    const excluded = invoice.lines.find((line) => line.kind === 'excluded');
    expect(excluded).toMatchObject({ gpu_hours: '0.500000000', amount: { amount: '0.00', currency: 'USD' } });
    const why = await world.get<unknown>(`/v1/invoice-lines/${excluded?.id ?? ''}/explain`);
    expect(JSON.stringify(why)).toContain('xid-79');
    await expect(world.post(`/v1/invoices/${invoice.id}/verify`)).resolves.toMatchObject({
      match: true,
      recomputed_total: { amount: '4.50', currency: 'USD' },
    });
  }, 60_000);

  it('is on the board: the GPU board’s own power query returns its points', async () => {
    interface Frame {
      readonly columns: readonly { readonly name: string }[];
      readonly rows: readonly (readonly unknown[])[];
    }
    const power = 303;
    const answer = await world.get<{ data: readonly Frame[] }>(
      `/v1/queries/poolmeter-gpu/${power}?from=2026-03-10T10:00:00Z&to=2026-03-10T10:30:00Z&interval_ms=60000&var-pool=main&var-node=gpu-01&var-gpu=${gpuUuid}`,
    );
    const frame = answer.data[0];
    expect(frame?.columns[0]?.name).toBe('time');
    // Thirty minutes of one GPU by the minute; a busy H100 draws more than it does idle (about 70 W).
    expect(frame?.rows).toHaveLength(30);
    for (const row of frame?.rows ?? []) expect(Number(row.at(-1))).toBeGreaterThan(100);
  }, 30_000);
});
