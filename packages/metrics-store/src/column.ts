/**
 * zod schemas for the columns of a query's rows. Each knows the ClickHouse types that it reads, so that a test can hold
 * every query's real answer against its row schema.
 */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import { z } from 'zod';

const SAFE_INTEGER = /^-?\d{1,16}$/;

function safeInteger(text: string, context: z.RefinementCtx): number {
  const value = Number(text);
  if (SAFE_INTEGER.test(text) && Number.isSafeInteger(value)) return value;
  context.addIssue({ code: 'custom', message: `"${text}" is not an integer that a number holds exactly` });
  return z.NEVER;
}

function instantFromIso(text: string, context: z.RefinementCtx): EpochMs {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms)) return instantFromMs(ms);
  context.addIssue({ code: 'custom', message: `"${text}" is not an instant` });
  return z.NEVER;
}

/** Reads a String or LowCardinality(String). */
const text = z.string().meta({ clickhouse: ['String'] });
/** Reads Float64 or Float32. */
const float = z.number().meta({ clickhouse: ['Float64', 'Float32'] });
/** Reads an integer of up to 32 bits. */
const integer = z
  .number()
  .int()
  .meta({ clickhouse: ['UInt8', 'UInt16', 'UInt32', 'Int8', 'Int16', 'Int32'] });
/** Reads a 64-bit integer that is known to be small, such as a count or bytes of memory; a larger one is an error. */
const wideInteger = z
  .string()
  .transform(safeInteger)
  .meta({ clickhouse: ['UInt64', 'Int64'] });
/** Reads a 64-bit integer of any size, such as an offset. */
const bigInteger = z
  .string()
  .regex(/^-?\d+$/)
  .transform(BigInt)
  .meta({ clickhouse: ['UInt64', 'Int64'] });
/** Reads a DateTime64(3) in UTC. */
const instant = z
  .string()
  .transform(instantFromIso)
  .meta({ clickhouse: ["DateTime64(3, 'UTC')"] });
const flag = z.boolean().meta({ clickhouse: ['Bool'] });
const texts = z.array(z.string()).meta({ clickhouse: ['Array(String)'] });

export const column = { text, float, integer, wideInteger, bigInteger, instant, flag, texts } as const;

/** The ClickHouse types that a column schema reads, without Nullable and LowCardinality. */
export function clickhouseTypesOf(schema: z.ZodType): { types: readonly string[]; nullable: boolean } {
  const nullable = schema instanceof z.ZodNullable;
  const inner = nullable ? (schema.unwrap() as z.ZodType) : schema;
  const types = inner.meta()?.['clickhouse'];
  return { types: Array.isArray(types) ? (types as string[]) : [], nullable };
}
