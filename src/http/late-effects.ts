/** Late effects: actions that were given up, and have been done all the same. */
import { z } from 'zod';
import * as schemas from '../schemas/late-effects.ts';
import type { HttpDeps } from './deps.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { readCursorAs, writeCursor } from './paging.ts';

export const listLateEffects = operation({
  id: 'listLateEffects',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/late-effects',
  summary: 'List late effects: successes of actions that had been given up',
  description:
    'An adapter succeeded after its attempt had ended as something else: it was cancelled, took too long, was settled by hand, or ' +
    'another worker had the task by then. Where the action says how it is undone (`compensate`) and its execution does not ' +
    'complete, it is. The newest come first; an execution shows its own with their outputs.',
  query: schemas.lateEffectsQuery,
  answers: { 200: { description: 'One page', schema: schemas.lateEffectList } },
  problems: [400, 401],
});

const place = z.strictObject({ i: z.string().regex(/^\d{1,18}$/), p: z.int().min(1) });

export function lateEffectRoutes(routes: Routes, { lateEffects }: Pick<HttpDeps, 'lateEffects'>): void {
  routes.serve(listLateEffects, async ({ query, caller, response }) => {
    const cursor = query.cursor === undefined ? undefined : readCursorAs(place, query.cursor);
    const filter = { runId: query.execution_id, actionId: query.action_id, compensated: query.compensated };
    const window = { limit: query.limit, before: cursor?.i };
    const { items, more } = await lateEffects.list(caller.tenantId, filter, window);
    const page = cursor?.p ?? 1;
    const last = more ? items.at(-1) : undefined;
    sendJson(response, 200, {
      items: items.map(({ id: _, ...item }) => item),
      ...{ page, page_size: query.limit },
      next_cursor: last === undefined ? null : writeCursor({ i: last.id, p: page + 1 }),
    });
  });
}
