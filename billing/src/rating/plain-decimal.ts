import { toDecimalText, type Fraction } from '@poolmeter/domain';

/** A number as a person writes it: at most 9 decimals, no zeros at the end: `2.5`, `100`, `0.142857143`. */
export function plainDecimal(value: Fraction): string {
  return toDecimalText(value, 9).replace(/\.?0+$/, '');
}
