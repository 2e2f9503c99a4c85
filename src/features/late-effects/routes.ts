/** Late effects: actions that were given up, and have been done all the same. */

import { z } from 'zod';
import type { LateEffectReader } from '../../engine/ports/late-effects.ts';
import { presentListedLateEffect } from '../../http/present/late-effects.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { readCursorAs, writeCursor } from '../../http/server/paging.ts';
import * as schemas from '../../schemas/late-effects.ts';

export const listLateEffects = operation({
  id: 'listLateEffects',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/late-effects',
  summary: 'List late effects of abandoned actions',
  description:
    'A late effect is the success of an adapter after its attempt had ended otherwise: the attempt was cancelled, timed out or was completed manually, or another worker had the task by then. If the action has a compensation (`compensate`) and its execution does not complete, the effect is compensated. The newest come first; an execution shows its own with their outputs.',
  query: schemas.lateEffectsQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.lateEffectList } },
});

const position = z.strictObject({ i: z.string().regex(/^\d{1,18}$/), p: z.int().min(1) });

interface Needs {
  lateEffects: LateEffectReader;
}

export const lateEffectRoutes = endpoints([listLateEffects], serve);

function serve(routes: Routes, { lateEffects }: Needs): void {
  routes.serve(listLateEffects, async ({ query, caller, response }) => {
    const cursor = query.cursor === undefined ? undefined : readCursorAs(position, query.cursor);
    const filter = { runId: query.execution_id, actionId: query.action_id, compensated: query.compensated };
    const window = { limit: query.limit, before: cursor?.i };
    const { items, more } = await lateEffects.list(caller.tenantId, filter, window);
    const page = cursor?.p ?? 1;
    const last = more ? items.at(-1) : undefined;
    sendJson(response, 200, {
      items: items.map(presentListedLateEffect),
      ...{ page, page_size: query.limit },
      next_cursor: last === undefined ? null : writeCursor({ i: last.id, p: page + 1 }),
    });
  });
}
