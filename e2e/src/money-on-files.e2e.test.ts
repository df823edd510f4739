/** The worked examples that hold through the command line alone: customers.yaml, prices.yaml and leases.csv in, an invoice out. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startUp, type RunningUp } from './running-up.js';

const H100 = 'NVIDIA H100 80GB HBM3';
const A100 = 'NVIDIA A100-SXM4-80GB';
const HEADER =
  'lease_id,customer_id,provider_id,pool,node,gpu_uuid,gpu_index,gpu_model,share,started_at,ended_at,pricing_mode,project';

interface Invoice {
  readonly total: { readonly amount: string; readonly currency: string };
  readonly period: { readonly start: string; readonly end: string; readonly zone: string };
  readonly lines: readonly {
    readonly kind: string;
    readonly gpu_hours: string;
    readonly amount: { readonly amount: string };
  }[];
}

describe('money through the command line, on files', () => {
  let up: RunningUp;

  beforeAll(async () => {
    up = await startUp(['--no-demo']);
    await up.file('prices.yaml', [
      'currency: USD',
      'effective_from: 2026-01-01T00:00:00Z',
      'rates:',
      `  - {gpu_model: "${H100}", pool: "*", pricing_mode: on_demand, per_gpu_hour: "2.50"}`,
      `  - {gpu_model: "${A100}", pool: "*", pricing_mode: on_demand, per_gpu_hour: "2.00"}`,
    ]);
    await up.file('customers.yaml', [
      'customers:',
      '  - {id: berlin, name: Berlin GmbH, zone: Europe/Berlin, currency: USD}',
    ]);
    await up.poolmeter('prices', 'apply', 'prices.yaml');
    await up.poolmeter('customers', 'apply', 'customers.yaml');
  }, 60_000);

  afterAll(async () => {
    await up.stop();
  }, 30_000);

  const lease = (fields: {
    id: string;
    customer: string;
    gpu: string;
    model?: string;
    share?: string;
    from: string;
    to: string;
  }) =>
    `${fields.id},${fields.customer},north,main,gpu-01,${fields.gpu},0,${fields.model ?? H100},${fields.share ?? '1'},${fields.from},${fields.to},on_demand,p`;

  const importing = async (name: string, rows: readonly string[]) => {
    await up.file(name, [HEADER, ...rows]);
    return up.json<{ imported: number; unchanged: number }>('leases', 'import', name);
  };
  const preview = (customer: string) =>
    up.json<Invoice>('invoices', 'preview', '--customer', customer, '--period', '2026-03');
  const usageLines = (invoice: Invoice) => invoice.lines.filter((line) => line.kind === 'usage');

  it('plain: 1 GPU for 2.5 hours at 2.50 is 6.25 USD', async () => {
    const rows = [
      lease({
        id: 'plain',
        customer: 'plain',
        gpu: 'GPU-plain',
        from: '2026-03-01T00:00:00Z',
        to: '2026-03-01T02:30:00Z',
      }),
    ];
    expect(await importing('plain.csv', rows)).toMatchObject({ imported: 1 });
    expect(await importing('plain.csv', rows)).toMatchObject({ imported: 0, unchanged: 1 });
    const invoice = await preview('plain');
    expect(usageLines(invoice)).toMatchObject([{ gpu_hours: '2.500000000', amount: { amount: '6.25' } }]);
    expect(invoice.total).toEqual({ amount: '6.25', currency: 'USD' });
  });

  it('seventh: 1/7 of a GPU for an hour at 2.00 is 0.29; seven of them on one line are exactly 2.00', async () => {
    const seventh = (id: string, customer: string, gpu: string) =>
      lease({
        id,
        customer,
        gpu,
        model: A100,
        share: '1/7',
        from: '2026-03-02T00:00:00Z',
        to: '2026-03-02T01:00:00Z',
      });
    await importing('seventh.csv', [seventh('one', 'seventh', 'GPU-seventh-a')]);
    await importing(
      'sevenths.csv',
      Array.from({ length: 7 }, (_, n) => seventh(`seven-${n}`, 'sevenths', 'GPU-seventh-b')),
    );
    expect((await preview('seventh')).total.amount).toBe('0.29');
    const seven = await preview('sevenths');
    expect(usageLines(seven)).toMatchObject([{ gpu_hours: '1.000000000', amount: { amount: '2.00' } }]);
    expect(seven.total.amount).toBe('2.00');
  });

  it('spring forward: a GPU leased for the whole of 29 March in Berlin is 23 GPU-hours; March has 743', async () => {
    await importing('spring.csv', [
      lease({
        id: 'spring',
        customer: 'berlin',
        gpu: 'GPU-spring',
        from: '2026-03-29T00:00:00+01:00',
        to: '2026-03-30T00:00:00+02:00',
      }),
    ]);
    const invoice = await preview('berlin');
    expect(usageLines(invoice)).toMatchObject([{ gpu_hours: '23.000000000', amount: { amount: '57.50' } }]);
    const hours = (Date.parse(invoice.period.end) - Date.parse(invoice.period.start)) / 3_600_000;
    expect(hours).toBe(743);
    expect(invoice.period.zone).toBe('Europe/Berlin');
  });

  it('finalizes, and verifying recomputes the same invoice', async () => {
    await up.poolmeter('invoices', 'finalize', '--period', '2026-03', '--customer', 'plain');
    const { data } = await up.json<{ data: { id: string; number: string; status: string }[] }>(
      'invoices',
      'list',
      '--customer',
      'plain',
    );
    const final = data.find((one) => one.status === 'final');
    expect(final?.number).toMatch(/\d/);
    expect(await up.json('invoices', 'verify', final?.id ?? '')).toMatchObject({
      match: true,
      differences: [],
    });
  });

  describe('bad input changes nothing and says what to do', () => {
    it('a bad row is named by its line, and nothing of the file is imported', async () => {
      await up.file('bad.csv', [
        HEADER,
        lease({
          id: 'good',
          customer: 'bad',
          gpu: 'GPU-good',
          from: '2026-03-01T00:00:00Z',
          to: '2026-03-01T01:00:00Z',
        }),
        lease({
          id: 'worse',
          customer: 'bad',
          gpu: 'GPU-worse',
          from: 'yesterday',
          to: '2026-03-01T01:00:00Z',
        }),
      ]);
      const failed = await up.fails('leases', 'import', 'bad.csv');
      expect(failed.code).toBe(2);
      expect(failed.stderr).toMatch(/line 3/);
      expect(failed.stderr).toMatch(/yesterday/);
      expect((await up.fails('invoices', 'preview', '--customer', 'bad', '--period', '2026-03')).code).toBe(
        2,
      );
    });

    it('a GPU without a price is an error that names it, never zero', async () => {
      await importing('unpriced.csv', [
        lease({
          id: 'unpriced',
          customer: 'unpriced',
          gpu: 'GPU-unpriced',
          model: 'NVIDIA Z900',
          from: '2026-03-01T00:00:00Z',
          to: '2026-03-01T01:00:00Z',
        }),
      ]);
      const failed = await up.fails('invoices', 'preview', '--customer', 'unpriced', '--period', '2026-03');
      expect(failed.code).toBe(2);
      expect(failed.stderr).toMatch(/NVIDIA Z900/);
      expect(failed.stderr).toMatch(/price/i);
    });

    it('wrong YAML is answered with its line', async () => {
      await up.file('wrong.yaml', [
        'currency: USD',
        'effective_from: 2026-01-01T00:00:00Z',
        'rates:',
        '  - {gpu_model: "*", pool: "*", pricing_mode: "*", per_gpu_hour: cheap}',
      ]);
      const failed = await up.fails('prices', 'apply', 'wrong.yaml');
      expect(failed.code).toBe(2);
      expect(failed.stderr).toMatch(/wrong\.yaml:4/);
    });
  });
});
