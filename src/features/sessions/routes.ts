/** Sessions: start and read. */
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { ACCEPTING } from '../../http/server/problem-codes.ts';
import { sessionStatus, workflowIdOf } from './domain.ts';
import type { createReadSession, SessionView } from './read-session.ts';
import * as schemas from './schemas.ts';
import type { StartSessionUseCase } from './start-session.ts';
import { starterOf } from './starter.ts';

const tag = 'Sessions';
const notFound = 'Session not found';
const starting = {
  permission: 'sessions:run',
  tag,
  method: 'post',
  description:
    'The policy engine decides first. A denied session is accepted too: it ends as completed, with the result `rejected` and the reasons. A `session_id` that was used before returns the first session.',
  body: schemas.startSessionRequest,
  bodyDocument: schemas.startSessionDocument,
  headers: {
    'Idempotency-Key': 'Without a session_id: a repeated request with the same key returns the first session',
  },
  answers: { 202: { description: 'The session was accepted', schema: schemas.startedSession } },
  problems: ACCEPTING,
} as const;

export const createSession = operation({
  ...starting,
  id: 'createSession',
  path: '/v1/sessions',
  summary: 'Start a session',
});
export const startSession = operation({
  ...starting,
  id: 'startSession',
  path: '/v1/sessions/start',
  summary: 'Start a session, under its older path',
});

export const getSession = operation({
  id: 'getSession',
  permission: 'sessions:read',
  tag,
  method: 'get',
  path: '/v1/sessions/{session_id}',
  summary: 'Get a session by its session id or workflow id',
  description: 'A paused session is `running`, with `paused: true`.',
  notFound,
  answers: { 200: { description: 'The session', schema: schemas.session } },
});

interface Needs {
  start: StartSessionUseCase;
  read: ReturnType<typeof createReadSession>;
  taskQueue: string;
}

export const sessionRoutes = endpoints([createSession, startSession, getSession], serve);

function serve(routes: Routes, { start, read, taskQueue }: Needs): void {
  for (const op of [createSession, startSession]) {
    routes.serve(op, async (call) => {
      const { response } = call;
      const started = await start(starterOf(call), call.body);
      if (started.repeated) response.setHeader('Idempotency-Replayed', 'true');
      sendJson(response, 202, {
        session_id: started.sessionId,
        workflow_id: workflowIdOf(started.sessionId),
        run_id: started.runId,
        task_queue: taskQueue,
        status: 'accepted',
      });
    });
  }

  routes.serve(getSession, async ({ params, caller, response }) => {
    sendJson(response, 200, present(await read.view(caller.tenantId, params['session_id'] ?? '')));
  });
}

function present({ row, result, error }: SessionView): object {
  const status = sessionStatus(row.status, row.terminated);
  return {
    session_id: row.sessionId,
    workflow_id: workflowIdOf(row.sessionId),
    run_id: row.runId,
    status,
    ...(row.status === 'paused' ? { paused: true } : {}),
    history_length: row.historyLength,
    ...(row.keepOpen && row.expiresAt !== undefined ? { expires_at: row.expiresAt.toISOString() } : {}),
    result,
    ...(status === 'failed' && error !== null ? { error } : {}),
  };
}
