/** Sagas: executions with compensations. */

import { storedMessage } from '../../domain/texts/error-message.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { SagaCounts, SagaReader, StoredSaga } from './ports.ts';
import * as schemas from './schemas.ts';
import { stepsOf } from './steps.ts';

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
});

interface Needs {
  sagas: SagaReader;
}

export const sagaRoutes = endpoints([getSagaStats, getSaga], serve);

function serve(routes: Routes, { sagas }: Needs): void {
  routes.serve(getSagaStats, async ({ query, caller, response }) => {
    sendJson(response, 200, presentCounts(await sagas.stats(caller.tenantId, query.hours)));
  });
  routes.serve(getSaga, async ({ params, caller, response }) => {
    const found = await sagas.find(caller.tenantId, params['saga_id'] ?? '');
    if (found === undefined) throw notFound('Saga not found');
    sendJson(response, 200, presentSaga(found));
  });
}

function presentCounts({
  total,
  active,
  completed,
  compensated,
  averageSeconds,
  since,
}: SagaCounts): schemas.SagaStats {
  return {
    total_sagas: total,
    active_sagas: active,
    completed_sagas: completed,
    failed_sagas: total - active - completed - compensated,
    compensated_sagas: compensated,
    avg_completion_time: Math.round(averageSeconds * 1000) / 1000,
    since: isoText(since),
  };
}

function presentSaga({ id, correlationId, status, error, createdAt, finishedAt, ...of }: StoredSaga): schemas.Saga {
  return {
    saga_id: id,
    correlation_id: correlationId,
    status,
    steps: stepsOf(of.definition, of.steps),
    created_at: isoText(createdAt),
    completed_at: isoText(finishedAt),
    error_message: storedMessage(error) ?? null,
  };
}
