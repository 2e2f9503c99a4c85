/** Several agents: start and read. */
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { ACCEPTING } from '../../http/server/problem-codes.ts';
import { maoWorkflowId, sessionStatus } from './domain.ts';
import type { Mao } from './mao.ts';
import * as schemas from './mao-schemas.ts';
import { starterOf } from './starter.ts';

const tag = 'Sessions';

export const startMao = operation({
  id: 'startMao',
  permission: 'sessions:run',
  tag,
  method: 'post',
  path: '/v1/mao/start',
  summary: 'Start several agents together',
  description: 'Each directive is a child execution with a token and a completion of its own.',
  body: schemas.startMaoRequest,
  headers: { 'Idempotency-Key': 'A repeated request with the same key and body returns the same orchestration' },
  answers: { 202: { description: 'The agents were accepted', schema: schemas.startedMao } },
  problems: [...ACCEPTING],
});

export const getMao = operation({
  id: 'getMao',
  permission: 'sessions:read',
  tag,
  method: 'get',
  path: '/v1/mao/{id}',
  summary: 'Get several agents by their workflow id or orchestration id',
  notFound: 'Orchestration not found',
  answers: { 200: { description: 'The orchestration', schema: schemas.mao } },
});

interface Needs {
  mao: Mao;
  taskQueue: string;
}

export const maoRoutes = endpoints([startMao, getMao], serve);

function serve(routes: Routes, { mao, taskQueue }: Needs): void {
  routes.serve(startMao, async (call) => {
    const { runId, repeated } = await mao.start(starterOf(call), call.body);
    if (repeated) call.response.setHeader('Idempotency-Replayed', 'true');
    sendJson(call.response, 202, { ...idsOf(runId), task_queue: taskQueue });
  });

  routes.serve(getMao, async ({ params, caller, response }) => {
    const { runId, status, historyLength, result } = await mao.view(caller.tenantId, params['id'] ?? '');
    sendJson(response, 200, {
      ...idsOf(runId),
      status: sessionStatus(status, false),
      history_length: historyLength,
      result,
    });
  });
}

function idsOf(runId: string) {
  return { workflow_id: maoWorkflowId(runId), run_id: runId, orchestration_id: runId };
}
