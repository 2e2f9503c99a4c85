/** `WorkflowService`: executing workflows, and following their executions. */
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { z } from 'zod';
import { acceptedExecution, cancelledExecution } from '../../schemas/workflow-answers.ts';
import { head, part, replayed, requestHeaders, timeOf } from './answers.ts';
import { endsStream } from './domain.ts';
import { sentEvents } from './event-lines.ts';
import { type StreamEventsRequest, WorkflowService } from './generated/orchestrator_pb.ts';
import { brokenOff, type HttpCalls } from './http-calls.ts';
import { jsonOf, jsonText, objectText, unlessZero, valueOfJson } from './json-values.ts';
import { unauthenticated, unavailable } from './problems.ts';

const EXECUTIONS = '/workflows/executions';
const RESUME_SECONDS = 1;

/** What is read of an execution; all of it is in `execution_json`. */
const execution = z.object({
  execution_id: z.string(),
  workflow_id: z.string().nullable(),
  workflow_version: z.number().nullable(),
  status: z.string(),
  output: z.unknown(),
  error: z.unknown(),
  progress: z.object({ percent: z.number(), current_action: z.string().nullable() }),
  tasks: z.array(
    z.object({ action_id: z.string(), action_type: z.string(), status: z.string(), attempts: z.number() }),
  ),
  created_at: z.string(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
});

const eventData = z.object({
  execution_id: z.string(),
  epoch: z.number(),
  action_id: z.string().nullable(),
  attempt: z.number().nullable(),
  at: z.string(),
  details: z.unknown(),
});

const signalled = z.object({ execution_id: z.string(), name: z.string(), action_id: z.string().nullable() });

export function workflowService(router: ConnectRouter, calls: HttpCalls): void {
  router.service(WorkflowService, {
    async executeWorkflow(request, context) {
      const answer = await calls.send(context, {
        method: 'POST',
        path: `/workflows/${part('workflow_id', request.workflowId)}/execute${request.strict ? '?strict=true' : ''}`,
        headers: requestHeaders({ requestId: request.requestId }),
        body: objectText({
          parameters: jsonText('parameters', request.parameters, request.parametersJson),
          version: unlessZero(request.version),
          priority: unlessZero(request.priority),
          delay_seconds: unlessZero(request.delaySeconds),
          correlation_id: unlessZero(request.correlationId),
          idempotency_key: unlessZero(request.idempotencyKey),
          callback_url: unlessZero(request.callbackUrl),
        }),
      });
      const run = acceptedExecution.parse(JSON.parse(answer.text));
      return {
        ...head(answer, 'Accepted'),
        executionId: run.execution_id,
        workflowId: run.workflow_id,
        workflowVersion: run.workflow_version ?? 0,
        status: run.status,
        createdAt: timeOf(run.created_at),
        warnings: run.warnings ?? [],
        deduplicated: run.deduplicated ?? false,
        replayed: replayed(answer),
      };
    },

    async getWorkflowStatus(request, context) {
      const answer = await calls.send(context, {
        method: 'GET',
        path: `${EXECUTIONS}/${part('execution_id', request.executionId)}`,
        headers: requestHeaders({ requestId: request.requestId }),
      });
      const run = execution.parse(JSON.parse(answer.text));
      return {
        ...head(answer),
        executionId: run.execution_id,
        workflowId: run.workflow_id ?? '',
        workflowVersion: run.workflow_version ?? 0,
        status: run.status,
        output: valueOfJson(run.output ?? undefined),
        outputJson: jsonOf(run.output ?? undefined),
        error: valueOfJson(run.error ?? undefined),
        errorJson: jsonOf(run.error ?? undefined),
        progressPercent: run.progress.percent,
        currentAction: run.progress.current_action ?? '',
        createdAt: timeOf(run.created_at),
        startedAt: timeOf(run.started_at),
        finishedAt: timeOf(run.finished_at),
        actions: run.tasks.map((task) => ({
          actionId: task.action_id,
          actionType: task.action_type,
          status: task.status,
          attempts: task.attempts,
        })),
        executionJson: answer.text,
      };
    },

    async cancelWorkflow(request, context) {
      const answer = await calls.send(context, {
        method: 'POST',
        path: `${EXECUTIONS}/${part('execution_id', request.executionId)}/cancel`,
        headers: requestHeaders({ requestId: request.requestId }),
        body: objectText({ reason: unlessZero(request.reason) }),
      });
      const run = cancelledExecution.parse(JSON.parse(answer.text));
      return { ...head(answer, run.message), executionId: run.execution_id, status: run.status };
    },

    async signalWorkflow(request, context) {
      const path = `${part('execution_id', request.executionId)}/signals/${part('name', request.name)}`;
      const answer = await calls.send(context, {
        method: 'POST',
        path: `${EXECUTIONS}/${path}`,
        headers: requestHeaders(request),
        body: objectText({ payload: jsonText('payload', request.payload, request.payloadJson) }),
      });
      const sent = signalled.parse(JSON.parse(answer.text));
      return {
        ...head(answer, 'Accepted'),
        executionId: sent.execution_id,
        name: sent.name,
        actionId: sent.action_id ?? '',
        replayed: replayed(answer),
      };
    },

    streamEvents: (request, context) => streamEvents(calls, request, context),
  });
}

async function* streamEvents(calls: HttpCalls, request: StreamEventsRequest, context: HandlerContext) {
  const position = context.requestHeader.get('last-event-id') ?? request.afterEventId;
  const after = position === '' ? '' : `?last_event_id=${part('after_event_id', position)}`;
  const answer = await calls.open(context, {
    method: 'GET',
    path: `${EXECUTIONS}/${part('execution_id', request.executionId)}/events${after}`,
    headers: requestHeaders({ requestId: request.requestId }),
    accept: 'text/event-stream',
  });
  // The execution has ended, and the client has all its events.
  if (answer.statusCode === 204) return void answer.resume();
  const first = head(answer);
  let last = '';
  try {
    for await (const { id, event, data } of sentEvents(answer.setEncoding('utf8'))) {
      if (event === 'stream.closed') throw unauthenticated(data);
      const { execution_id, epoch, action_id, attempt, at, details } = eventData.parse(JSON.parse(data));
      last = event;
      yield {
        ...first,
        eventId: id,
        event,
        executionId: execution_id,
        epoch,
        actionId: action_id ?? '',
        attempt: attempt ?? 0,
        occurredAt: timeOf(at),
        details: valueOfJson(details ?? undefined),
        detailsJson: jsonOf(details ?? undefined),
      };
    }
  } catch (error) {
    throw answer.errored === null ? error : brokenOff(context.signal);
  }
  if (!endsStream(last))
    throw unavailable('The stream was closed before the execution ended; resume it', RESUME_SECONDS);
  return undefined;
}
