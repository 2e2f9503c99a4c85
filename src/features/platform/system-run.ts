/** Endpoints that answer with the end of a run of one of the service's own workflows. The run stays when the client goes. */
import type { Response } from 'express';
import { z } from 'zod';
import { describe, type ErrorCode, isErrorCode, OrchestratorError } from '../../domain/errors.ts';
import type { RunView } from '../../engine/ports/run-views.ts';
import type { SystemRunRequest, SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { AcceptedRun } from '../../engine/ports/use-cases.ts';
import { idempotencyKey, setReplayHeaders } from '../../http/server/idempotency.ts';
import type { Links } from '../../http/server/links.ts';
import type { Call } from '../../http/server/operation.ts';
import { ACCEPTING } from '../../http/server/problem-codes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { MAX_WAIT_SECONDS } from '../../schemas/requests.ts';

const DEFAULT_WAIT_SECONDS = 20;

export const EXECUTION_HEADERS = {
  'X-Execution-ID': 'Id of the execution that handles the request',
  Location: 'URL of that execution',
};
export const IDEMPOTENCY_HEADER = {
  'Idempotency-Key':
    'A repeated request with the same key and body returns the same execution; with another body the response is 409',
};
/** Of every such endpoint: it is rejected as executions are, or its execution did not complete. */
export const RUN_PROBLEMS: readonly ErrorCode[] = [
  ...ACCEPTING,
  ...(['run_cancelled', 'still_running', 'upstream_error', 'upstream_rejected', 'upstream_unavailable'] as const),
  ...(['condition_failed', 'expression_failed', 'input_invalid', 'template_unresolved'] as const),
  ...(['output_not_storable', 'output_too_large'] as const),
];

/** How long the client is ready to wait; the run goes on after that. */
export const waitQuery = z.object({
  wait: z.coerce.number().min(0).max(MAX_WAIT_SECONDS).default(DEFAULT_WAIT_SECONDS).meta({
    description: 'Seconds to wait for the end; after that the response is 504, and the execution continues',
    example: 20,
  }),
});

type AnyCall = Pick<Call<z.ZodType, typeof waitQuery>, 'caller' | 'query' | 'request' | 'response' | 'signal'>;

/** The run once it has completed; undefined: the client has gone. Throws what the endpoint answers to any other end. */
export async function runForAnswer(
  { caller, query, request, response, signal }: AnyCall,
  { deps, links }: { deps: { system: SystemRuns }; links: Links },
  name: string,
  parameters: JsonObject,
): Promise<RunView | undefined> {
  const { accepted, ended } = await deps.system.runAndWait(caller, name, parameters, {
    ...systemRequest(idempotencyKey(request), undefined),
    waitMs: query.wait * 1000,
    signal,
  });
  if (signal.aborted) return undefined;
  setExecutionHeaders(response, accepted, links);
  if (ended?.status === 'completed') return ended;
  throw ended === undefined ? stillRunning(accepted.id, links) : failed(ended, links);
}

/** Without what was left out; null counts as that. */
export function defined(fields: Record<string, Json | undefined>): JsonObject {
  const entries = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [[name, value] as const],
  );
  return Object.fromEntries(entries);
}

export function systemRequest(key: string | undefined, correlationId: string | undefined): SystemRunRequest {
  return { idempotencyKey: key, correlationId };
}

export function setExecutionHeaders(response: Response, accepted: AcceptedRun, links: Links): void {
  setReplayHeaders(response, accepted);
  response.setHeader('X-Execution-ID', accepted.id);
  response.setHeader('Location', links.execution(accepted.id));
}

function stillRunning(id: string, links: Links): OrchestratorError {
  const executionLink = links.execution(id);
  return new OrchestratorError('still_running', `The execution ${id} goes on; its end will be at ${executionLink}`, {
    executionId: id,
    executionLink,
  });
}

/** What a service did not do is 502, whatever the reason; the execution has it for those who may read it. */
function failed(run: RunView, links: Links): OrchestratorError {
  const { code, actionId } = errorOf(run.error);
  const service = serviceOf(run, actionId);
  const details = { executionId: run.id, executionLink: links.execution(run.id) };
  if (run.status === 'cancelled')
    return new OrchestratorError('run_cancelled', `The execution ${run.id} was cancelled`, details);
  if (service === undefined) {
    const mine: ErrorCode = isErrorCode(code) && describe(code).status < 500 ? code : 'internal';
    return new OrchestratorError(mine, `The execution ${run.id} ended as ${run.status} (${code})`, details);
  }
  if (code === 'upstream_rejected')
    return new OrchestratorError(code, `The service '${service}' refused the request (${code})`, details);
  if (UNFIT.has(code))
    return new OrchestratorError('upstream_error', `The service '${service}' gave an answer of another form`, details);
  return new OrchestratorError('upstream_unavailable', `The service '${service}' is not available (${code})`, details);
}

/** What an expression of ours ends with when an answer has not got what it is to have. */
const UNFIT: ReadonlySet<string> = new Set(['expression_failed', 'template_unresolved', 'condition_failed']);

/** The one that the action called, or else the last one that answered before it. */
function serviceOf({ tasks }: RunView, actionId: string | undefined): string | undefined {
  const calls = tasks.filter(({ actionType }) => actionType === 'service_call');
  const own = calls.find((call) => call.actionId === actionId);
  const answered = calls
    .filter(({ status }) => status === 'completed')
    .sort((a, b) => Number(a.finishedAt) - Number(b.finishedAt));
  return nameIn((own ?? answered.at(-1))?.input);
}

function nameIn(input: Json | undefined): string | undefined {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return undefined;
  return typeof input['service'] === 'string' ? input['service'] : undefined;
}

function errorOf(error: Json): { code: string; actionId: string | undefined } {
  const shape = z.object({ code: z.string(), action_id: z.string().optional() }).safeParse(error);
  return shape.success ? { code: shape.data.code, actionId: shape.data.action_id } : { code: '', actionId: undefined };
}
