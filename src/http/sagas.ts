/** Sagas: executions of which something may have to be undone. */
import * as schemas from '../schemas/sagas.ts';
import type { HttpDeps } from './deps.ts';
import { notFound, operation, type Routes, sendJson } from './operation.ts';

export const getSagaStats = operation({
  id: 'getSagaStats',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/saga/stats',
  summary: 'How many sagas there are, and how they ended',
  description:
    'A saga is an execution whose definition says of some action how it is undone (`compensate`), or one that was begun as a saga.',
  query: schemas.sagaStatsQuery,
  answers: { 200: { description: 'The numbers', schema: schemas.sagaStats } },
  problems: [400, 401],
});

export const getSaga = operation({
  id: 'getSaga',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/saga/{saga_id}',
  summary: 'One saga: its steps, and how each was undone',
  notFound: 'Saga not found',
  answers: { 200: { description: 'The saga', schema: schemas.saga } },
  problems: [401, 404],
});

export function sagaRoutes(routes: Routes, { sagas }: HttpDeps): void {
  routes.serve(getSagaStats, async ({ query, caller, response }) => {
    sendJson(response, 200, await sagas.stats(caller.tenantId, query.hours));
  });
  routes.serve(getSaga, async ({ params, caller, response }) => {
    const found = await sagas.find(caller.tenantId, params['saga_id'] ?? '');
    if (found === undefined) throw notFound('Saga not found');
    sendJson(response, 200, found);
  });
}
