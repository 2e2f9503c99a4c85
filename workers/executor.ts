/** Runs adapters for the engine: checks the input, builds the context, turns what comes back into a result. */
import { describe, isErrorCode, OrchestratorError } from '../src/domain/errors.ts';
import type { Egress } from '../src/egress/egress.ts';
import type { ExecutionCall, ExecutionResult, Executor, Expressions, Logger } from '../src/engine/ports.ts';
import { faultsOf } from '../src/schemas/faults.ts';
import { type AdapterContext, type AdapterSetting, NonRetryableError, RetryableError } from './adapter.ts';
import type { Catalogue } from './catalogue.ts';
import { createAdapterFetch } from './egress-fetch.ts';

export interface ExecutorDeps {
  catalogue: Catalogue;
  egress: Egress;
  expressions: Expressions;
  service(tenantId: string, name: string): Promise<{ name: string; baseUrl: string } | undefined>;
  settings: Partial<Record<AdapterSetting, string>>;
  newSpanId(): string;
  now(): Date;
  log: Logger;
}

/** Thrown by `sleepUntil` to leave the adapter; never an error that anybody sees. */
class Sleep extends Error {
  readonly until: Date;
  constructor(until: Date) {
    super('asleep');
    this.until = until;
  }
}

export function createExecutor(deps: ExecutorDeps): Executor {
  return {
    literalFields: (actionType) => deps.catalogue.literalFields(actionType),
    async execute(call) {
      const adapter = deps.catalogue.get(call.actionType);
      if (adapter === undefined)
        return failure('input_invalid', `this worker has no adapter '${call.actionType}'`, false);
      const input = adapter.config.safeParse(call.input);
      if (!input.success) {
        const faults = faultsOf(input.error, adapter.config).map(({ path, message }) =>
          path === '' ? message : `${path}: ${message}`,
        );
        return failure('input_invalid', faults.join('; '), false);
      }
      try {
        const output = await adapter.run(input.data, contextOf(deps, call));
        const checked = adapter.output.safeParse(output);
        if (checked.success) return { result: 'output', output };
        const faults = faultsOf(checked.error, adapter.output).map(({ path, message }) => `${path}: ${message}`);
        return failure('adapter_failed', `the output does not fit the adapter's schema: ${faults.join('; ')}`, false);
      } catch (error) {
        return toResult(error);
      }
    },
  };
}

function contextOf(deps: ExecutorDeps, call: ExecutionCall): AdapterContext {
  const { run, actionId } = call;
  const correlationId = run.correlationId ?? undefined;
  // A span of its own for every attempt, in the trace of the run.
  const traceparent = run.traceId === null ? undefined : `00-${run.traceId}-${deps.newSpanId()}-01`;
  const fields = {
    run_id: run.id,
    task_id: actionId,
    handler: call.actionType,
    attempt: call.attempt,
    tenant_id: run.tenantId,
  };
  return {
    signal: call.signal,
    log: {
      info: (message, data) => deps.log.info(message, { ...fields, ...data }),
      warn: (message, data) => deps.log.warn(message, { ...fields, ...data }),
    },
    idempotencyKey: call.idempotencyKey,
    attempt: call.attempt,
    run: { id: run.id, actionId, tenantId: run.tenantId, userId: run.userId },
    correlationId,
    traceparent,
    fetch: createAdapterFetch(deps.egress, {
      signal: call.signal,
      idempotencyKey: call.idempotencyKey,
      correlationId,
      traceparent,
    }),
    service: (name) => deps.service(run.tenantId, name),
    setting: (name) => deps.settings[name],
    scope: call.scope,
    evaluate: (expression, variables) => deps.expressions.evaluate(expression, variables),
    async sleepUntil(time) {
      const until = call.wakeAt ?? time;
      if (deps.now() < until) throw new Sleep(until);
    },
    wakeAt: call.wakeAt,
    now: deps.now,
  };
}

function toResult(error: unknown): ExecutionResult {
  if (error instanceof Sleep) return { result: 'sleep', until: error.until };
  if (error instanceof RetryableError) return failure(error.code, error.message, true, error.retryAfterMs);
  if (error instanceof NonRetryableError) return failure(error.code, error.message, false);
  if (error instanceof OrchestratorError) return failure(error.code, error.message, describe(error.code).retryable);
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  // What an adapter did not foresee may pass: its author says otherwise with NonRetryableError.
  return failure(isErrorCode(code) ? code : 'adapter_failed', message, true);
}

function failure(code: string, message: string, retryable: boolean, retryAfterMs?: number): ExecutionResult {
  return { result: 'failure', failure: { code, message, retryable, retryAfterMs } };
}
