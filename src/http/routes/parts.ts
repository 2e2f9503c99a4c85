/** The items of a fan-out and the iterations of a loop. */

import { z } from 'zod';
import type { RunReader } from '../../engine/ports/read-models.ts';
import { partsQuery } from '../../schemas/requests.ts';
import * as answers from '../../schemas/workflow-answers.ts';
import { presentPart } from '../present/tasks.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../server/operation.ts';
import { readCursorAs, writeCursor } from '../server/paging.ts';

const DEFAULT_LIMIT = 50;
const cursorShape = z.strictObject({ n: z.int().min(0) });

export const listParts = operation({
  id: 'listExecutionParts',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/workflows/executions/{execution_id}/parts',
  summary: 'List the items of a fan-out or iterations of a loop',
  description: 'The items or iterations are in their order.',
  query: partsQuery,
  notFound: 'Execution not found',
  answers: { 200: { description: 'One page of results', schema: answers.executionParts } },
});

interface Needs {
  runs: RunReader;
}

export const partRoutes = endpoints([listParts], serve);

function serve(routes: Routes, deps: Needs): void {
  routes.serve(listParts, async ({ params, query, caller, response }) => {
    const after = query.cursor === undefined ? undefined : readCursorAs(cursorShape, query.cursor).n;
    const wanted = { of: query.of, status: query.status, limit: query.limit ?? DEFAULT_LIMIT, after };
    const found = await deps.runs.parts(caller.tenantId, params['execution_id'] ?? '', wanted);
    if (found === undefined) throw notFound('Execution not found');
    const last = found.items.at(-1);
    const next = found.more && last !== undefined ? writeCursor({ n: last.position }) : null;
    sendJson(response, 200, { items: found.items.map(presentPart), next_cursor: next });
  });
}
