/** The pieces that answers are made of. */
import { z } from 'zod';
import type { Json, JsonObject } from './json.ts';

export const WHEN = '2030-01-01T12:00:00.000Z';
export const RUN = '0197c2a0-5b1e-7c33-9d2f-6a1b0c9d8e7f';
export const FLOW = '0197c29f-0a11-7d42-8a55-1f2e3d4c5b6a';

export const time = z.iso.datetime().meta({ example: WHEN });
export const json = z.unknown() as unknown as z.ZodType<Json>; // Read from our own columns.
export const object = z.record(z.string(), z.unknown()) as unknown as z.ZodType<JsonObject>; // Likewise.
export const text = z.string();
export const count = z.int().min(0);
/** Of a page of a list, as older clients read it. */
const pagination = z
  .object({
    page: count,
    page_size: count,
    total_items: count,
    total_pages: count,
    has_next: z.boolean(),
    has_previous: z.boolean(),
  })
  .meta({ id: 'Pagination' });
/** What every list that comes by pages has beside its `items`. */
export const paging = { page: count, page_size: count, total: count, pagination };

/** The example with which a schema was declared, for the examples of what contains it. */
export function exampleOf(schema: z.ZodType): unknown {
  const { example = undefined, examples: [first] = [] } = (schema.meta() ?? {}) as Examples;
  if (example === undefined && first === undefined) throw new Error('a schema whose example is used has one');
  return example ?? first;
}
interface Examples {
  example?: unknown;
  examples?: unknown[];
}

/** Of the one page of a list with a single item. */
export function pageExample(item: z.ZodType): { items: unknown[] } {
  return { items: [exampleOf(item)], ...PAGE };
}
const PAGE = {
  ...{ page: 1, page_size: 50, total: 1 },
  pagination: { page: 1, page_size: 50, total_items: 1, total_pages: 1, has_next: false, has_previous: false },
};

export const fieldFault = z
  .object({ path: text.meta({ example: 'tasks.0.task_type' }), message: text })
  .meta({ id: 'FieldFault' });

export const itemError = z
  .object({
    code: text,
    detail: text,
    message: text,
    error_code: text,
    errors: z.array(fieldFault).optional(),
    execution_id: text.optional().meta({ description: 'The conflicting execution' }),
  })
  .meta({ id: 'ItemError' });
