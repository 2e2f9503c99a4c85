/** The two kinds of lists: by page, and by a cursor that goes on after the last item seen. */
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import type { RunFilter, RunWindow } from '../../engine/ports/read-models.ts';
import { guardJson } from '../../schemas/json-guard.ts';
import type { ExecutionsQuery } from '../../schemas/requests.ts';

const DEFAULT_LIMIT = 50;

export function pageOf(page: number, pageSize: number, total: number): object {
  const totalPages = Math.ceil(total / pageSize);
  return {
    page,
    page_size: pageSize,
    total,
    pagination: {
      page,
      page_size: pageSize,
      total_items: total,
      total_pages: totalPages,
      has_next: page < totalPages,
      has_previous: page > 1,
    },
  };
}

const cursorShape = z.strictObject({ t: z.iso.datetime(), i: z.string().min(1).max(255), p: z.int().min(1) });

/** What to read: the window, and which page it is counted as. */
export function windowOf(query: ExecutionsQuery): { window: RunWindow; filter: RunFilter; page: number } {
  const limit = query.limit ?? query.page_size ?? DEFAULT_LIMIT;
  const filter: RunFilter = {
    workflowId: query.workflow_id,
    correlationId: query.correlation_id,
    status: query.status,
    parent: query.parent,
    from: query.from === undefined ? undefined : new Date(query.from),
    to: query.to === undefined ? undefined : new Date(query.to),
  };
  if (query.cursor === undefined) {
    const page = query.page ?? 1;
    return { window: { limit, skip: (page - 1) * limit, after: undefined }, filter, page };
  }
  const { t, i, p } = readCursorAs(cursorShape, query.cursor);
  return { window: { limit, skip: 0, after: { createdAt: new Date(t), id: i } }, filter, page: p };
}

export function writeCursor(position: object): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

export function readCursorAs<S extends z.ZodType>(shape: S, cursor: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    value = undefined;
  }
  const parsed = shape.safeParse(value);
  if (parsed.success && guardJson(parsed.data).length === 0) return parsed.data;
  const message = 'is not a cursor of this list: send next_cursor as it came, or leave it out';
  throw new OrchestratorError('invalid_request', `cursor ${message}`, { errors: [{ path: 'cursor', message }] });
}
