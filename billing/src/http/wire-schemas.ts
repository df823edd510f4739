/** The shapes of billing's answers. */
import { z } from '@hono/zod-openapi';
import { gpuTimeSchema, instantSchema, moneySchema } from '@poolmeter/http-api';
import { rateSchema } from '../rating/rate-json.js';

export const leaseSchema = z
  .object({
    lease_id: z.string(),
    customer_id: z.string().nullable(),
    project: z.string().nullable(),
    provider_id: z.string().nullable(),
    pool: z.string().nullable(),
    node: z.string().nullable(),
    gpu_uuid: z.string().nullable(),
    gpu_instance: z.string().nullable(),
    gpu_index: z.int().nullable(),
    gpu_model: z.string().nullable(),
    share: z.string().nullable().openapi({ example: '1/7' }),
    pricing_mode: z.string().nullable(),
    started_at: instantSchema.nullable(),
    ended_at: instantSchema.nullable(),
    recorded_at: instantSchema,
    labels: z.record(z.string(), z.string()),
    state: z.enum(['running', 'ended', 'cancelled', 'incomplete']),
    overlaps_with: z.array(z.string()),
  })
  .openapi('Lease');

export const recordedEventSchema = z
  .object({
    event_id: z.string(),
    type: z.enum(['started', 'ended', 'amended', 'cancelled']),
    lease_id: z.string(),
    at: instantSchema,
    recorded_at: instantSchema,
    source: z.string(),
  })
  .catchall(z.unknown())
  .openapi('LeaseEvent');

export const customerAnswerSchema = z
  .object({
    id: z.string(),
    version: z.int(),
    name: z.string(),
    zone: z.string(),
    currency: z.string().nullable(),
    tax: z.object({ rate: z.string(), inclusive: z.boolean(), exemption: z.string() }).nullable(),
    created_at: instantSchema,
  })
  .openapi('Customer');

export const providerAnswerSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    currency: z.string().nullable(),
    payout_share: z.string().nullable(),
    created_at: instantSchema,
    updated_at: instantSchema,
  })
  .openapi('Provider');

export const priceBookAnswerSchema = z
  .object({
    version: z.int(),
    currency: z.string(),
    effective_from: instantSchema,
    rates: z.array(rateSchema),
    recorded_at: instantSchema,
  })
  .openapi('PriceBook');

export const lineSchema = gpuTimeSchema
  .extend({
    id: z.string(),
    kind: z.enum([
      'usage',
      'excluded',
      'commitment',
      'discount',
      'sla_credit',
      'adjustment',
      'fee',
      'tax',
      'rounding',
    ]),
    description: z.string(),
    unit_price: moneySchema.nullable(),
    amount: moneySchema,
    evidence: z.record(z.string(), z.unknown()).nullable(),
  })
  .openapi('InvoiceLine');

export const invoiceSummarySchema = z
  .object({
    id: z.string(),
    number: z.string().nullable(),
    status: z.enum(['draft', 'final', 'void']),
    customer_id: z.string(),
    period: z.object({ month: z.string(), start: instantSchema, end: instantSchema, zone: z.string() }),
    currency: z.string(),
    subtotal: moneySchema,
    tax: moneySchema,
    total: moneySchema,
    wallet_drawn: moneySchema.openapi({ description: 'Settled by prepaid money when it became final.' }),
    amount_due: moneySchema,
    holds: z.array(z.record(z.string(), z.unknown())),
    input_digest: z.string(),
    created_at: instantSchema,
    updated_at: instantSchema,
    finalized_at: instantSchema.nullable(),
    voided_at: instantSchema.nullable(),
    void_reason: z.string().nullable(),
  })
  .openapi('InvoiceSummary');

export const invoiceSchema = invoiceSummarySchema.extend({ lines: z.array(lineSchema) }).openapi('Invoice');

export const intervalSchema = gpuTimeSchema
  .extend({
    interval_id: z.string(),
    invoice_id: z.string(),
    line_id: z.string().nullable(),
    lease_id: z.string(),
    customer_id: z.string(),
    project: z.string(),
    provider_id: z.string(),
    pool: z.string(),
    node: z.string(),
    gpu_uuid: z.string(),
    gpu_instance: z.string(),
    gpu_model: z.string(),
    pricing_mode: z.string(),
    share: z.string(),
    started_at: instantSchema,
    ended_at: instantSchema,
    outcome: z.enum(['billed', 'excluded', 'held']),
    amount: moneySchema.nullable(),
    incident_ids: z.array(z.string()),
    evidence: z.record(z.string(), z.unknown()).nullable(),
  })
  .openapi('BillableInterval');

export const verificationSchema = z
  .object({
    match: z.boolean(),
    input_digest: z.string(),
    recomputed_total: moneySchema,
    differences: z.array(
      z.object({
        line_id: z.string().nullable(),
        field: z.string(),
        stored: z.string().nullable(),
        recomputed: z.string().nullable(),
      }),
    ),
  })
  .openapi('Verification');

/** A 200 answer of one schema. */
export function answer<S extends z.ZodType>(schema: S, description: string) {
  return { 200: { description, content: { 'application/json': { schema } } } } as const;
}

export function jsonBody<S extends z.ZodType>(schema: S) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}
