import { expect, it } from 'vitest';
import { errorCodes, invariant, isPoolmeterError, messageOf, PoolmeterError } from './errors.js';

it('carries its code, its details and its cause', () => {
  const cause = new Error('ECONNREFUSED');
  const error = new PoolmeterError('dependency.unavailable', 'Start it.', {
    retriable: true,
    details: { port: 1 },
    cause,
  });
  expect(error).toMatchObject({
    code: 'dependency.unavailable',
    retriable: true,
    details: { port: 1 },
    cause,
  });
  expect(isPoolmeterError(error)).toBe(true);
  expect(isPoolmeterError(cause)).toBe(false);
  expect(new PoolmeterError('internal', 'x')).toMatchObject({ retriable: false, details: {} });
});

it('has no code twice', () => {
  expect(new Set(errorCodes).size).toBe(errorCodes.length);
});

it.each([false, undefined, null, 0, '', 0n])('an invariant does not hold for %s', (value) => {
  expect(() => invariant(value, 'must hold')).toThrow('Invariant broken: must hold');
});

it('has a message for anything thrown', () => {
  expect([messageOf(new Error('a')), messageOf('b'), messageOf(undefined)]).toEqual(['a', 'b', 'undefined']);
});
