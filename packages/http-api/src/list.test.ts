import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from './cursor.js';
import { pageOf, prefersCsv, type Page } from './list.js';
import { covers, isScope, maySee, refuseOthers, visibleRows, type Principal } from './principal.js';
import { createRateLimit } from './rate-limit.js';
import { instantFromMs, ManualClock } from '@poolmeter/domain';

describe('a cursor', () => {
  const position = z.object({ at: z.string(), id: z.string() });

  it('carries its position', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (at, id) => {
        expect(decodeCursor('leases', encodeCursor('leases', { at, id }), position)).toEqual({ at, id });
      }),
    );
  });

  it('is safe in an address', () => {
    expect(encodeCursor('leases', { at: 'ü?&=', id: '+/' })).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  it.each([
    ['of another list', encodeCursor('invoices', { at: 'a', id: 'b' })],
    ['cut short', encodeCursor('leases', { at: 'a', id: 'b' }).slice(0, -1)],
    ['with another position', encodeCursor('leases', 5)],
    ['made up', 'hello'],
    ['empty', ''],
  ])('%s is refused', (_name, cursor) => {
    expect(() => decodeCursor('leases', cursor, position)).toThrow(
      expect.objectContaining({
        code: 'input.invalid',
        message: expect.stringContaining('query.cursor') as string,
      }),
    );
  });

  it('with any character changed is refused', () => {
    const cursor = encodeCursor('leases', { at: '2026-03-01', id: 'l-1' });
    fc.assert(
      fc.property(fc.nat({ max: cursor.length - 1 }), fc.constantFrom(...'ABCabc019_-'), (at, letter) => {
        fc.pre(cursor[at] !== letter);
        expect(() =>
          decodeCursor('leases', cursor.slice(0, at) + letter + cursor.slice(at + 1), position),
        ).toThrow();
      }),
    );
  });
});

it('pages show every row once, in order', () => {
  fc.assert(
    fc.property(fc.nat({ max: 30 }), fc.integer({ min: 1, max: 7 }), (count, limit) => {
      const rows = Array.from({ length: count }, (_, index) => index);
      const seen: number[] = [];
      for (let from: number | null = 0; from !== null;) {
        const one: Page<number> = pageOf(rows.slice(from, from + limit + 1), limit, (last) =>
          String(last + 1),
        );
        seen.push(...one.data);
        from = one.next_cursor === null ? null : Number(one.next_cursor);
      }
      expect(seen).toEqual(rows);
    }),
  );
});

it.each([
  ['', false],
  ['*/*', false],
  ['application/json', false],
  ['text/csv', true],
  ['TEXT/CSV; charset=utf-8', true],
  ['text/csv, application/json;q=0.9', true],
  ['text/csv;q=0.5, application/json', false],
  ['text/html,application/xhtml+xml,*/*;q=0.8', false],
  ['text/csv;q=0', false],
])('Accept: "%s" means CSV: %s', (accept, expected) => {
  expect(prefersCsv(accept)).toBe(expected);
});

it.each([
  [['*'], 'invoices:read', true],
  [['*:read'], 'invoices:read', true],
  [['*:read'], 'invoices:write', false],
  [['invoices:read'], 'invoices:read', true],
  [['invoices:write'], 'invoices:read', false],
  [['invoices:read'], 'invoice-lines:read', false],
  [[], 'invoices:read', false],
])('scopes %j cover %s: %s', (scopes, needed, expected) => {
  expect(covers(scopes, needed)).toBe(expected);
});

it.each([
  ['*', true],
  ['*:read', true],
  ['audit-log:read', true],
  ['invoices:*', false],
  ['invoices', false],
  ['invoices:delete', false],
  ['Invoices:read', false],
  ['', false],
])('"%s" is a scope: %s', (scope, expected) => {
  expect(isScope(scope)).toBe(expected);
});

describe('whose rows', () => {
  const by = (binding: Principal['binding']): Principal => ({ tokenId: 't', binding, scopes: ['*'] });
  const [operator, acme, north] = [
    by({ kind: 'operator' }),
    by({ kind: 'customer', id: 'acme' }),
    by({ kind: 'provider', id: 'north' }),
  ];
  const columns = { customer: 'customer_id', provider: 'provider_id' } as const;

  it('restricts a list by the binding', () => {
    expect(visibleRows(operator, columns)).toBeUndefined();
    expect(visibleRows(acme, columns)).toEqual({ column: 'customer_id', id: 'acme' });
    expect(visibleRows(north, columns)).toEqual({ column: 'provider_id', id: 'north' });
    expect(() => visibleRows(north, { customer: 'customer_id' })).toThrow(
      /provider's token cannot read this/,
    );
  });

  it.each([
    ['operator', operator, { customerId: 'other', providerId: null }, true],
    ['its customer', acme, { customerId: 'acme', providerId: 'north' }, true],
    ['another customer', acme, { customerId: 'other', providerId: 'acme' }, false],
    ['its provider', north, { customerId: 'acme', providerId: 'north' }, true],
    ['a row of nobody', acme, { customerId: null }, false],
    ['a row without an owner column', north, {}, false],
  ])('%s', (_name, principal, owner, expected) => {
    expect(maySee(principal, owner)).toBe(expected);
    const refuse = () => {
      refuseOthers(principal, owner, 'invoice 5');
    };
    if (expected) expect(refuse).not.toThrow();
    else
      expect(refuse).toThrow(
        expect.objectContaining({ code: 'not_found', message: 'There is no invoice 5.' }),
      );
  });
});

it('a rate limit never gives out more than burst + rate × time', () => {
  const steps = fc.array(fc.nat({ max: 3_000 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom(0.5, 1, 4),
      (pauses, burst, perSecond) => {
        const clock = new ManualClock(instantFromMs(0));
        const limit = createRateLimit({ burst, perSecond, clock });
        let given = 0;
        for (const pause of pauses) {
          clock.advance(pause);
          try {
            limit.take('a');
            given += 1;
          } catch (fault) {
            expect(fault).toMatchObject({ code: 'rate_limited', retriable: true });
          }
        }
        expect(given).toBeLessThanOrEqual(burst + (clock.now() / 1_000) * perSecond);
        expect(given).toBeGreaterThanOrEqual(1);
      },
    ),
  );
});

it('a rate limit forgets the caller that was silent the longest', () => {
  const clock = new ManualClock(instantFromMs(0));
  const limit = createRateLimit({ burst: 1, perSecond: 0.001, clock, callerLimit: 2 });
  for (const caller of ['a', 'b', 'c']) limit.take(caller);
  expect(() => limit.take('c')).toThrow(/Too many/);
  limit.take('a');
});
