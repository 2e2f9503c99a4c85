/** The API of the older flow runner. It works without the transport of its messages. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type { RunView } from '../../engine/ports/run-views.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { idempotencyKey } from '../../http/server/idempotency.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { ACCEPTING } from '../../http/server/problem-codes.ts';
import { errorText, FLOW_RUN_STATUSES } from './domain.ts';
import type { FlowInbox, TakeFlowRun } from './ports.ts';
import * as schemas from './schemas.ts';
import type { FindWebhook } from './webhooks.ts';

const UNKNOWN = 'Execution not found';
const accepted = {
  202: {
    description: 'Accepted',
    schema: schemas.acceptedRun,
    headers: { Location: 'URL of the run', 'Idempotency-Replayed': 'true: the run was there already' },
  },
};

export const startFlowRun = operation({
  id: 'startFlowRun',
  permission: 'executions:run',
  tag: 'Executions',
  method: 'post',
  path: '/v1/runs',
  summary: 'Start a flow run',
  description:
    'Executes the workflow that `flow_id` names, or the `flow_definition` of the request, which takes the permission `workflows:write`. Another tenant is 403, an unknown flow 404.',
  body: schemas.runRequest,
  headers: { 'Idempotency-Key': 'As `request_id`' },
  answers: accepted,
  problems: [...ACCEPTING, 'unknown_flow', 'unknown_handler', 'run_id_conflict', 'definition_invalid'],
});

export const getFlowRun = operation({
  id: 'getFlowRun',
  permission: 'executions:read',
  tag: 'Executions',
  method: 'get',
  path: '/v1/runs/{run_id}',
  summary: 'Get a flow run',
  description: 'Returns a run that was started as a flow run; others are at `/workflows/executions/{execution_id}`.',
  notFound: UNKNOWN,
  answers: { 200: { description: 'The run', schema: schemas.flowRun } },
});

export const receiveFlowWebhook = operation({
  id: 'receiveFlowWebhook',
  permission: 'executions:run',
  tag: 'Executions',
  method: 'post',
  path: '/v1/webhooks/{webhook_id}',
  summary: 'Start a flow run by a webhook',
  description: 'Executes the workflow with that id or name if it has `metadata.webhook: true`; any other is 404.',
  body: schemas.webhookRequest,
  headers: { 'Idempotency-Key': 'A repeated request with the same key and body returns the first run' },
  answers: accepted,
  problems: [...ACCEPTING, 'unknown_flow', 'unknown_handler', 'run_id_conflict', 'definition_invalid'],
});

interface Needs {
  takeFlowRun: TakeFlowRun;
  inbox: Pick<FlowInbox, 'find' | 'release'>;
  findWebhook: FindWebhook;
  reader: Pick<RunReader, 'execution'>;
  newId(): string;
  links: Links;
}

export const flowRunRoutes = endpoints([startFlowRun, getFlowRun, receiveFlowWebhook], serve);

function serve(routes: Routes, deps: Needs): void {
  type Start = Omit<Parameters<TakeFlowRun>[1], 'run_id' | 'tenant_id'>;

  async function start(caller: Caller, request: Start, key: string | undefined) {
    const named = { tenantId: caller.tenantId, runId: deps.newId() };
    try {
      return await deps.takeFlowRun(caller, { ...request, run_id: named.runId, tenant_id: caller.tenantId }, key);
    } catch (error) {
      // Nobody else has the id, and nobody will come with it again.
      await deps.inbox.release(named).catch(() => undefined);
      throw error;
    }
  }

  function answer(response: Parameters<typeof sendJson>[0], taken: Awaited<ReturnType<TakeFlowRun>>): void {
    response.setHeader('Location', deps.links.at(`/v1/runs/${encodeURIComponent(taken.runId)}`));
    if (taken.repeated) response.setHeader('Idempotency-Replayed', 'true');
    sendJson(response, 202, { run_id: taken.runId, correlation_id: taken.correlationId });
  }

  routes.serve(startFlowRun, async ({ body, caller, request, response }) => {
    const { tenant_id: tenantId, request_id: requestId, ...more } = body;
    rejectOtherTenant(caller, tenantId ?? undefined);
    answer(response, await start(caller, more, idempotencyKey(request, requestId ?? undefined)));
  });

  routes.serve(receiveFlowWebhook, async ({ params, body, caller, request, response }) => {
    const webhookId = params['webhook_id'] ?? '';
    const workflowId = await deps.findWebhook(caller, webhookId);
    if (body.webhook_id !== undefined && body.webhook_id !== null && body.webhook_id !== webhookId) {
      const errors = [{ path: 'webhook_id', message: 'differs from the one in the path' }];
      throw new OrchestratorError('invalid_request', 'webhook_id differs from the one in the path', { errors });
    }
    const context = {
      ...(body.headers ? { headers: body.headers } : {}),
      ...(body.source ? { source: body.source } : {}),
    };
    const more = { flow_id: workflowId, input: body.payload, execution_context: context };
    answer(response, await start(caller, more, idempotencyKey(request)));
  });

  routes.serve(getFlowRun, async ({ params, caller, response }) => {
    const id = params['run_id'] ?? '';
    const requested = await deps.inbox.find(caller.tenantId, id);
    const run = requested && (await deps.reader.execution(caller.tenantId, id));
    if (run === undefined) throw notFound(UNKNOWN);
    sendJson(response, 200, presentRun(run, requested?.flowId ?? ''));
  });
}

function rejectOtherTenant({ tenantId }: Caller, named: string | undefined): void {
  if (named === undefined || named === tenantId) return;
  throw new OrchestratorError(
    'forbidden',
    `tenant scope violation: the run names '${named}'; you are in '${tenantId}'`,
  );
}

function presentRun(run: RunView, flowId: string) {
  const tasks = run.tasks.flatMap(({ startedAt, finishedAt }) => [startedAt, finishedAt]);
  const times = [run.startedAt, run.finishedAt, ...tasks].map((time) => time?.getTime() ?? 0);
  // One by one: a flow may have more tasks than a call may have arguments.
  const updatedAt = times.reduce((newest, time) => Math.max(newest, time), run.createdAt.getTime());
  return {
    run_id: run.id,
    status: FLOW_RUN_STATUSES[run.status],
    flow_id: flowId,
    tenant_id: run.tenantId,
    input: run.parameters,
    output: run.output,
    error: errorText(run.error),
    created_at: run.createdAt.toISOString(),
    updated_at: new Date(updatedAt).toISOString(),
  };
}
