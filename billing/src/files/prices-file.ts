/** prices.yaml: one version of the price book. */
import { z } from '@hono/zod-openapi';
import { parseInstant } from '@poolmeter/domain';
import { rateSchema } from '../rating/rate-json.js';
import { readYamlDocument } from './yaml-document.js';

export const instantText = z.string().refine(isInstant, 'write an instant such as 2026-01-01T00:00:00Z');

export const pricesFileSchema = z
  .strictObject({
    currency: z.string().regex(/^[A-Z]{3}$/, 'write an ISO 4217 code such as USD'),
    effective_from: instantText,
    rates: z.array(rateSchema).min(1),
  })
  .superRefine((file, context) => {
    file.rates.forEach((rate, index) => {
      if (rate.committed === undefined) return;
      const message = 'a commitment belongs to a contract, not to the price book';
      context.addIssue({ code: 'custom', path: ['rates', index, 'committed'], message });
    });
  });

export type PricesFile = z.output<typeof pricesFileSchema>;

/** Reads prices.yaml; faults carry line numbers. */
export function readPricesFile(text: string, name = 'prices.yaml'): PricesFile {
  return readYamlDocument(text, { schema: pricesFileSchema, name });
}

function isInstant(text: string): boolean {
  try {
    parseInstant(text);
    return true;
  } catch {
    return false;
  }
}
