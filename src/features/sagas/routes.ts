/** Sagas: executions of which something may have to be undone. */

import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { SagaReader } from './ports.ts';
import * as schemas from './schemas.ts';

export const getSagaStats = operation({
  id: 'getSagaStats',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/saga/stats',
  summary: 'Get saga statistics',
  description:
    'Counts sagas by how they ended. A saga is an execution whose definition has an action with `compensate`, or that was started as a saga.',
  query: schemas.sagaStatsQuery,
  answers: { 200: { description: 'The statistics', schema: schemas.sagaStats } },
  problems: [400, 401],
});

export const getSaga = operation({
  id: 'getSaga',
  permission: 'infrastructure:read',
  tag: 'Infrastructure',
  method: 'get',
  path: '/infrastructure/saga/{saga_id}',
  summary: 'Get a saga with its steps and compensations',
  notFound: 'Saga not found',
  answers: { 200: { description: 'The saga', schema: schemas.saga } },
  problems: [401, 404],
});

interface Needs {
  sagas: SagaReader;
}

export const sagaRoutes = endpoints([getSagaStats, getSaga], serve);

function serve(routes: Routes, { sagas }: Needs): void {
  routes.serve(getSagaStats, async ({ query, caller, response }) => {
    sendJson(response, 200, await sagas.stats(caller.tenantId, query.hours));
  });
  routes.serve(getSaga, async ({ params, caller, response }) => {
    const found = await sagas.find(caller.tenantId, params['saga_id'] ?? '');
    if (found === undefined) throw notFound('Saga not found');
    sendJson(response, 200, found);
  });
}
