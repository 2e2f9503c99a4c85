/** Signals: messages that reach an execution from outside while it waits. */

import { idempotencyKey } from '../../http/server/idempotency.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import * as schemas from './schemas.ts';
import type { Signals } from './send-signal.ts';

const tag = 'Executions';
const notFound = 'Execution not found';
const path = '/workflows/executions/{execution_id}';
const headers = {
  'Idempotency-Key': 'A repeated request with the same key returns the same response and has no further effect',
};

export const sendSignal = operation({
  id: 'sendSignal',
  permission: 'executions:control',
  tag,
  method: 'post',
  path: `${path}/signals/{name}`,
  summary: 'Send a signal to an execution',
  description:
    'The signal is delivered to the action that has waited longest for this name. If no action waits, it is stored for the next one that does, in the order of arrival.',
  body: schemas.signalRequest,
  bodyOptional: true,
  headers,
  notFound,
  answers: { 202: { description: 'Accepted', schema: schemas.signalAnswer } },
  // A payload that takes long to check against the schema of its signal.
  problems: ['already_final', 'conflict', 'already_decided', 'expression_timeout', 'expressions_busy'],
});

interface Needs {
  signals: Signals;
}

export const signalRoutes = endpoints([sendSignal], serve);

function serve(routes: Routes, { signals }: Needs): void {
  routes.serve(sendSignal, async ({ params, body, caller, request, response }) => {
    const runId = params['execution_id'] ?? '';
    const name = params['name'] ?? '';
    const message = { name, payload: body.payload ?? null, requestKey: idempotencyKey(request) };
    const sent = await signals.send(caller, runId, message);
    if (sent.repeated) response.setHeader('Idempotency-Replayed', 'true');
    sendJson(response, 202, { execution_id: runId, name, action_id: sent.actionId });
  });
}
