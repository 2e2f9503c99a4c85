/**
 * The ids that every line about a task carries, so that nobody has to pass them: whatever works on a delivery gets a log that
 * knows them. It is passed on and not in an asynchronous context, which would cost every promise of the worker something; here
 * a line that is not written costs nothing.
 */
import type { Logger, LogLevel } from '../ports/logger.ts';
import type { RunRow } from '../ports/rows.ts';
import type { OnBehalfOf } from '../tenant-scope.ts';
import { attemptSpanId } from '../tracing/span-ids.ts';

/** What a line says itself wins. */
export function withFields(log: Logger, fields: () => object): Logger {
  const isEnabled = (level: LogLevel) => log.isEnabled?.(level) !== false;
  const write = (level: LogLevel) => (event: string, more?: object) => {
    if (isEnabled(level)) log[level](event, { ...fields(), ...more });
  };
  const passed = log.passed?.bind(log);
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    isEnabled,
    ...(passed === undefined ? {} : { passed }),
  };
}

/** Each of run and task under the two names that they go by. */
export function fieldsOfTask(run: RunRow, actionId: string, attempt: number): object {
  return {
    execution_id: run.id,
    run_id: run.id,
    action_id: actionId,
    task_id: actionId,
    attempt,
    tenant_id: run.tenantId,
    user_id: run.userId,
    correlation_id: run.correlationId ?? undefined,
    trace_id: run.traceId ?? undefined,
    span_id: run.traceId === null ? undefined : attemptSpanId(run.id, run.epoch, actionId, attempt),
  };
}

/** Of a line that is written while a request is served, wherever in the program. */
export function fieldsOfCaller(caller: OnBehalfOf | undefined): object {
  if (caller === undefined) return {};
  const { tenantId, userId, correlationId, traceId } = caller;
  return { tenant_id: tenantId, user_id: userId, correlation_id: correlationId, trace_id: traceId };
}
