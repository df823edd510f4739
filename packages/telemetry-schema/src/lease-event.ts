import { z } from 'zod';

/** A lease event as schedulers and people send it; surfaces.md, "Lease event in". Instants are RFC 3339. */
const instantText = z.iso.datetime({ offset: true });
const identifier = z.string().min(1).max(200);

const leaseColumns = z.object({
  customer_id: identifier,
  provider_id: identifier,
  pool: identifier,
  node: identifier,
  gpu_uuid: identifier,
  gpu_instance: z.string().max(64),
  gpu_index: z.int().min(0).max(255),
  gpu_model: identifier,
  share: z.string().regex(/^\d{1,9}(\/\d{1,9})?$/, 'a share is 1 or a fraction such as 1/7'),
  pricing_mode: z.enum(['on_demand', 'reserved', 'spot']),
  project: z.string().max(200),
  labels: z.record(z.string(), z.string()),
});

/** What a start means when it leaves a column out. An amendment that leaves one out does not change it. */
const startColumns = leaseColumns.extend({
  gpu_instance: leaseColumns.shape.gpu_instance.default(''),
  gpu_index: leaseColumns.shape.gpu_index.default(0),
  share: leaseColumns.shape.share.default('1'),
  pricing_mode: leaseColumns.shape.pricing_mode.default('on_demand'),
  project: leaseColumns.shape.project.default(''),
  labels: leaseColumns.shape.labels.default({}),
});

const eventBase = { event_id: identifier, lease_id: identifier, at: instantText };

export const leaseEventSchema = z.discriminatedUnion('type', [
  startColumns.extend({ ...eventBase, type: z.literal('started') }).strict(),
  leaseColumns
    .partial()
    .extend({ ...eventBase, type: z.literal('amended') })
    .strict(),
  z.object({ ...eventBase, type: z.literal('ended') }).strict(),
  z.object({ ...eventBase, type: z.literal('cancelled') }).strict(),
]);

export type LeaseEvent = z.infer<typeof leaseEventSchema>;
