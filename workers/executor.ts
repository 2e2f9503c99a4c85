/** Runs adapters for the engine: builds the context, chooses where an adapter runs. */
import type { Egress } from '../src/egress/egress.ts';
import { fieldsOfTask, withFields } from '../src/engine/deliver/log-fields.ts';
import type { ExecutionCall, ExecutionResult, Executor, Expressions } from '../src/engine/ports/executor.ts';
import type { Logger, LogLevel } from '../src/engine/ports/logger.ts';
import type { CallSpans } from '../src/engine/tracing/call-spans.ts';
import { attemptSpanId, traceparentOf } from '../src/engine/tracing/span-ids.ts';
import {
  type AdapterContext,
  type AdapterSetting,
  type EngineCapabilities,
  NonRetryableError,
  type ServicesOfTask,
} from './adapter.ts';
import type { Catalogue } from './catalogue.ts';
import { createAdapterFetch } from './egress-fetch.ts';
import { failure, park, runAdapterIn, sleeper } from './execution.ts';
import type { IsolatedPool } from './isolated-pool.ts';
import { maskedLog, maskedSpans, rejectionOf, rulesOfFetch } from './task-secrets.ts';

export interface ExecutorDeps {
  catalogue: Catalogue;
  egress: Egress;
  expressions: Expressions;
  isolated: Pick<IsolatedPool, 'run'>;
  /** Left out: there are no services. */
  services?: ((call: ExecutionCall) => ServicesOfTask) | undefined;
  /** Of a tenant: prepares calls of operations. Left out: there are no operations. */
  operations?: ((tenantId: string) => AdapterContext['operation']) | undefined;
  /** For adapters that come with the engine. */
  engine(call: ExecutionCall): EngineCapabilities;
  settings: Partial<Record<AdapterSetting, string>>;
  maxOutputBytes: number;
  /** Undefined: calls are not written down. */
  callSpans: Pick<CallSpans, 'begin'> | undefined;
  /** Whether a trace is exported somewhere, for the header of calls. */
  isSampled(traceId: string, parentSpan: string | null | undefined): boolean;
  now(): Date;
  /** A call of the engine failed because of a store: no failure of the attempt. Left out: there is none. */
  isStoreFault?(error: unknown): boolean;
  log: Logger;
}

const NO_SERVICES: ServicesOfTask = {
  service: () => Promise.resolve(undefined),
  acquire: () => Promise.resolve(undefined),
  release: () => Promise.resolve(),
  awaitRateLimit: () => Promise.resolve(),
  close: () => undefined,
};
const NO_OPERATION: AdapterContext['operation'] = (service) =>
  Promise.reject(new NonRetryableError(`no document of the service '${service}' is known`, { code: 'input_invalid' }));

export function createExecutor(deps: ExecutorDeps): Executor {
  return {
    literalFields: (actionType) => deps.catalogue.literalFields(actionType),
    async execute(call) {
      const startedAt = performance.now();
      const services = deps.services?.(call) ?? NO_SERVICES;
      try {
        const result = await executeIn(deps, call, services);
        logEnd(deps.log, call, result, performance.now() - startedAt);
        return result;
      } finally {
        services.close();
      }
    },
  };
}

/** One line for every attempt: failures at `info`, the others at `debug`. */
function logEnd(log: Logger, call: ExecutionCall, result: ExecutionResult, ms: number): void {
  const fields = () => ({ ...fieldsOf(call), execution_time_ms: Math.round(ms) });
  if (result.result !== 'failure') withFields(log, fields).debug('task_attempt_ended', { result: result.result });
  else {
    const { code, retryable } = result.failure;
    maskedLog(log, call.secrets).info('task_attempt_failed', { ...fields(), code, retryable });
  }
}

async function executeIn(deps: ExecutorDeps, call: ExecutionCall, services: ServicesOfTask): Promise<ExecutionResult> {
  const adapter = deps.catalogue.get(call.actionType);
  if (adapter === undefined) return failure('input_invalid', `this worker has no adapter '${call.actionType}'`, false);
  const rejection = rejectionOf(adapter, call.input, call.secrets);
  if (rejection !== undefined) return rejection;
  const context = contextOf(deps, call, services);
  const mayBlock = adapter.isolated === true;
  if (!mayBlock && (!call.suspect || adapter.usesEngine === true))
    return runAdapterIn(adapter, call.input, context, deps.isStoreFault);
  const { idempotencyKey, compensates, attempt, run, correlationId, traceparent, scope, wakeAt } = context;
  const plain = { idempotencyKey, compensates, attempt, run, correlationId, traceparent, scope, wakeAt };
  const { settings, maxOutputBytes } = deps;
  return deps.isolated.run({
    task: { ...plain, actionType: adapter.type, input: call.input, settings, maxOutputBytes },
    context,
    suspect: call.suspect,
    mayBlock,
    holdDeadline: call.pauseDeadline,
  });
}

function fieldsOf({ run, actionId, actionType, attempt }: ExecutionCall): object {
  return { ...fieldsOfTask(run, actionId, attempt), handler: actionType };
}

function contextOf(deps: ExecutorDeps, call: ExecutionCall, services: ServicesOfTask): AdapterContext {
  const { run, actionId } = call;
  const correlationId = run.correlationId ?? undefined;
  const { traceId } = run;
  // A span of its own for every attempt, in the trace of the run.
  const parentId = attemptSpanId(run.id, run.epoch, actionId, call.attempt);
  const { parentSpan } = run;
  const sampled = deps.isSampled(traceId ?? '', parentSpan);
  const traceparent = traceId === null ? undefined : traceparentOf(traceId, parentId, sampled);
  const { tenantId } = run;
  const attemptKey = { runId: run.id, actionId, epoch: run.epoch, attempt: call.attempt };
  const lines = withFields(deps.log, () => fieldsOf(call));
  const say = (level: LogLevel) => (message: string, data?: object) => {
    lines[level](message, data);
    call.logs?.add(level, message, data);
  };
  const own = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  const startSpan = maskedSpans(deps.callSpans?.begin, call.secrets);
  return {
    signal: call.signal,
    log: maskedLog(own, call.secrets),
    idempotencyKey: call.idempotencyKey,
    compensates: call.compensates,
    attempt: call.attempt,
    run: { id: run.id, actionId, tenantId: run.tenantId, userId: run.userId },
    correlationId,
    traceparent,
    fetch: createAdapterFetch(deps.egress, {
      signal: call.signal,
      idempotencyKey: call.idempotencyKey,
      compensatedKey: call.compensates?.idempotency_key,
      tenantId,
      correlationId,
      traceparent,
      ...rulesOfFetch(call.secrets),
      startSpan: (request) =>
        traceId === null
          ? undefined
          : startSpan?.({ tenantId, traceId, parentSpan, parentId, kind: 'request', ...attemptKey }, request),
    }),
    service: services.service,
    acquire: services.acquire,
    release: services.release,
    awaitRateLimit: services.awaitRateLimit,
    operation: deps.operations?.(tenantId) ?? NO_OPERATION,
    setting: (name) => deps.settings[name],
    scope: call.scope,
    evaluate: (expression, variables) => deps.expressions.evaluate(expression, variables, { tenantId }),
    sleepUntil: sleeper(call.wakeAt, deps.now),
    park,
    wakeAt: call.wakeAt,
    ...call.reports,
    now: deps.now,
    engine: deps.engine(call),
  };
}
