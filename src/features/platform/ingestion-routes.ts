/** Ingestion: sources are fetched by their agents and saved, each by an execution of its own. */

import type { Response } from 'express';
import { systemAlias } from '../../domain/definition/system-workflow.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { RunReader, WorkflowStore } from '../../engine/ports/read-models.ts';
import type { SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { AcceptedRun, AcceptRuns, Caller } from '../../engine/ports/use-cases.ts';
import { idempotencyKey } from '../../http/server/idempotency.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { ACCEPTING } from '../../http/server/problem-codes.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { RecordPlatformEvent } from '../events/event-log-ports.ts';
import * as schemas from './ingestion-schemas.ts';
import { defined, EXECUTION_HEADERS, IDEMPOTENCY_HEADER, setExecutionHeaders, systemRequest } from './system-run.ts';

const INGESTION = 'multi_source_ingestion';
const common = { tag: 'Platform', method: 'post', headers: IDEMPOTENCY_HEADER } as const;

export const ingest = operation({
  ...common,
  id: 'ingest',
  permission: 'executions:run',
  path: '/ingest',
  summary: 'Ingest the documents of a source',
  description:
    'The documents are fetched and saved by an execution of `system:ingest_source`; the response does not wait for it.',
  body: schemas.ingestRequest,
  answers: { 200: { description: 'Accepted', schema: schemas.ingestAnswer, headers: EXECUTION_HEADERS } },
  problems: ACCEPTING,
});

export const runWorkflow = operation({
  ...common,
  id: 'runWorkflow',
  permission: 'executions:run',
  path: '/workflows/run',
  summary: 'Ingest several sources in parallel, or run a workflow',
  description:
    'The request is handled by an execution of `system:ingest_sources`, a saga: a failed source does not affect the others, and the output lists the failed ones. `workflow_id` or `workflow_type` start another workflow, with `sources` and `scope` as parameters if they are present.',
  body: schemas.runWorkflowRequest,
  bodyOptional: true,
  notFound: 'Workflow not found',
  answers: { 200: { description: 'Started', schema: schemas.runWorkflowAnswer, headers: EXECUTION_HEADERS } },
  problems: ACCEPTING,
});

interface Needs {
  accept: AcceptRuns;
  log: Logger;
  newId: () => string;
  record: RecordPlatformEvent;
  runs: RunReader;
  system: SystemRuns;
  workflows: Pick<WorkflowStore, 'resolve'>;
  links: Links;
}

export const ingestionRoutes = endpoints([ingest, runWorkflow], serve);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  const linksOf = ({ id }: AcceptedRun) => ({
    execution: links.execution(id),
    events: links.events(id),
    result: links.result(id),
  });

  /** Every run has a correlation id, its own where the request has none; a repeated one has what it had. */
  async function traced(caller: Caller, accepted: AcceptedRun, response: Response) {
    setExecutionHeaders(response, accepted, links);
    if (!accepted.repeated) return { correlation_id: caller.correlationId ?? accepted.id, trace_id: caller.traceId };
    const run = await deps.runs.execution(caller.tenantId, accepted.id);
    return { correlation_id: run?.correlationId ?? accepted.id, trace_id: run?.traceId ?? caller.traceId };
  }

  /** The run is there already, so an event that cannot be stored delays nothing. */
  async function recordRequested(caller: Caller, { id, repeated }: AcceptedRun, sources: string[], scope: JsonObject) {
    if (repeated) return;
    const { tenantId, correlationId, traceId } = caller;
    const event = { tenantId, kind: 'ingestion.requested', correlationId, traceId, runId: id };
    const recorded = sources.map((source) => deps.record({ ...event, data: { source, scope } }));
    await Promise.all(recorded).catch((error: unknown) => {
      deps.log.warn('event_not_recorded', { kind: event.kind, run_id: id, error: String(error) });
    });
  }

  routes.serve(ingest, async ({ body, caller: who, request, response }) => {
    const caller = correlated(who, body.correlation_id, deps);
    const parameters = { source: body.source, scope: body.scope ?? {} };
    const runRequest = systemRequest(idempotencyKey(request), undefined);
    const accepted = await deps.system.start(caller, 'ingest_source', parameters, runRequest);
    await recordRequested(caller, accepted, [body.source], parameters.scope);
    sendJson(response, 200, {
      status: 'accepted',
      source: body.source,
      ...(await traced(caller, accepted, response)),
      execution_id: accepted.id,
      timestamp: accepted.createdAt.toISOString(),
      links: linksOf(accepted),
    });
  });

  routes.serve(runWorkflow, async ({ body, caller: who, request, response }) => {
    const caller = correlated(who, body.correlation_id, deps);
    const key = idempotencyKey(request);
    const priority = body.priority ?? undefined;
    const workflow = await workflowOf(deps, caller, body);
    const sources = body.sources ?? schemas.DEFAULT_SOURCES;
    if (workflow === undefined && body.parameters != null && Object.keys(body.parameters).length > 0) {
      const message = 'belong to a workflow: give workflow_id or workflow_type';
      throw new OrchestratorError('invalid_request', `parameters ${message}`, {
        errors: [{ path: 'parameters', message }],
      });
    }
    const accepted =
      workflow === undefined
        ? await deps.system.start(
            caller,
            'ingest_sources',
            { sources, scope: body.scope ?? {} },
            { ...systemRequest(key, undefined), priority, saga: true },
          )
        : await deps.accept.executeWorkflow(caller, workflow, {
            parameters: { ...defined({ sources: body.sources, scope: body.scope }), ...body.parameters },
            priority,
            idempotency_key: key,
            saga: true,
            strict: false,
          });
    if (workflow === undefined) await recordRequested(caller, accepted, sources, body.scope ?? {});
    const { correlation_id } = await traced(caller, accepted, response);
    const steps =
      workflow === undefined
        ? sources.map((source) => ({ op: 'ingest', source, status: 'pending' }))
        : [{ op: 'execute', source: workflow, status: 'pending' }];
    sendJson(response, 200, {
      status: 'started',
      steps,
      correlation_id,
      saga_id: accepted.id,
      execution_id: accepted.id,
      links: { ...linksOf(accepted), saga: links.at(`/infrastructure/saga/${encodeURIComponent(accepted.id)}`) },
    });
  });
}

function correlated(caller: Caller, correlationId: string | null | undefined, { newId }: Pick<Needs, 'newId'>): Caller {
  return { ...caller, correlationId: correlationId ?? caller.correlationId ?? newId() };
}

/** Undefined: the ingestion. */
async function workflowOf(
  deps: Pick<Needs, 'workflows'>,
  { tenantId }: Caller,
  {
    workflow_id: id,
    workflow_type: type,
  }: { workflow_id?: string | null | undefined; workflow_type?: string | null | undefined },
): Promise<string | undefined> {
  if (id != null) return id;
  if (type == null || type === systemAlias('ingest_sources')) return undefined;
  const found = await deps.workflows.resolve(tenantId, type);
  if (found !== undefined) return found.id;
  if (type === INGESTION) return undefined;
  throw notFound('Workflow not found');
}
