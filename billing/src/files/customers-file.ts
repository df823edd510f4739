/** customers.yaml: who is charged, in which zone and currency, with which tax; and who is paid. */
import { z } from '@hono/zod-openapi';
import { readYamlDocument } from './yaml-document.js';

const idText = z.string().min(1).max(200);
const currencyText = z.string().regex(/^[A-Z]{3}$/, 'write an ISO 4217 code such as USD');
/** A part of one, in quotes: YAML would make a float of it. */
const ratioText = z
  .string()
  .regex(/^(0(\.\d{1,9})?|1(\.0{1,9})?)$/, 'write a part of one in quotes, such as "0.19"');

const taxSchema = z.strictObject({
  rate: ratioText,
  inclusive: z.boolean().default(false).describe('Whether prices contain the tax already.'),
  exemption: z.string().max(500).default('').describe('Why no tax is due; empty when it is due.'),
});

export const customerSchema = z.strictObject({
  id: idText,
  name: z.string().min(1).max(500).optional(),
  zone: z.string().min(1).max(100).default('UTC').describe('IANA zone of billing periods.'),
  currency: currencyText.optional().describe("The price book's when it is left out."),
  tax: taxSchema.optional(),
});

export const providerSchema = z.strictObject({
  id: idText,
  name: z.string().min(1).max(500).optional(),
  currency: currencyText.optional(),
  payout_share: ratioText.optional().describe('Part of the charge that the provider is paid.'),
});

export const customersFileSchema = z.strictObject({
  customers: z.array(customerSchema).default([]),
  providers: z.array(providerSchema).default([]),
});

export type CustomerEntry = Omit<z.output<typeof customerSchema>, 'zone'> & { readonly zone: string };
export type ProviderEntry = z.output<typeof providerSchema>;
export type CustomersFile = z.output<typeof customersFileSchema>;

/** Reads customers.yaml; faults carry line numbers. */
export function readCustomersFile(text: string, name = 'customers.yaml'): CustomersFile {
  return readYamlDocument(text, { schema: customersFileSchema, name });
}
