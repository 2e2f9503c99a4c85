/** Sessions: their actions. */
import { missing } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { hasPermission } from '../../http/middleware/authorise.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { parse } from '../../http/server/parse.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { createControlSession, SessionAction } from './control-session.ts';
import * as schemas from './schemas.ts';
import { starterOf } from './starter.ts';

const ACTIONS = [
  ...(['cancel', 'terminate', 'pause', 'resume', 'retry', 'approve', 'reject'] as const),
  ...(['signal', 'message', 'extend'] as const),
];

export const actOnSession = operation({
  id: 'actOnSession',
  permission: 'sessions:control',
  tag: 'Sessions',
  method: 'post',
  path: '/v1/sessions/{session_id}/actions/{action}',
  pathExamples: { action: 'cancel' },
  summary: 'Execute an action on a session',
  description:
    'Actions: `cancel` and `terminate` (nothing further is started), `pause`, `resume`, `retry`, `approve` and `reject` (also need `approvals:decide`), `signal` (`{name, data}`, stored with the execution), and of a session with `keep_open`: `message` (`{prompt, metadata}`, one more round of policy, completion and memory, at most 1,000) and `extend` (`{seconds}`). A session in no state for the action is 409, another action is 404.',
  body: schemas.sessionAction,
  bodyOptional: true,
  headers: {
    'Idempotency-Key':
      'Of signal, message, approve and reject: a repeated request with the same key has no further effect',
  },
  notFound: 'Session not found',
  answers: { 202: { description: 'Accepted', schema: schemas.sessionActionAnswer } },
  problems: ['conflict', 'already_final', 'already_decided', 'not_waiting', 'not_retryable'],
});

interface Needs {
  act: ReturnType<typeof createControlSession>;
}

export const sessionActionRoutes = endpoints([actOnSession], serve);

function serve(routes: Routes, { act }: Needs): void {
  routes.serve(actOnSession, async (call) => {
    const { params, body, response } = call;
    const what = actionOf(params['action'] ?? '', body.payload);
    const decides = what.action === 'approve' || what.action === 'reject';
    if (decides && !hasPermission(response, 'approvals:decide')) throw missing('approvals:decide');
    const { sessionId, status } = await act(starterOf(call), params['session_id'] ?? '', what, body.reason);
    sendJson(response, 202, { session_id: sessionId, action: what.action, status });
  });
}

function actionOf(name: string, payload: JsonObject): SessionAction {
  const action = ACTIONS.find((one) => one === name);
  if (action === undefined)
    throw new OrchestratorError('not_found', `There is no action '${name}'; there are ${ACTIONS.join(', ')}`);
  switch (action) {
    case 'signal': {
      const { name: signal, data } = parse(schemas.payloads.signal, { payload }).payload;
      return { action, name: signal, data: data ?? null };
    }
    case 'message':
      return { action, ...parse(schemas.payloads.message, { payload }).payload };
    case 'extend':
      return { action, seconds: parse(schemas.payloads.extend, { payload }).payload.seconds };
    default:
      return { action };
  }
}
