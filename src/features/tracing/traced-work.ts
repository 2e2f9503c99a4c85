/** Spans of what a process does, made around its parts. Each is the part itself where no spans are exported. */
import type { EndedSpan, SpanAttributes } from '../../domain/ended-span.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { PlannedAction } from '../../domain/graph/plan.ts';
import type { Delivery, Disposition, FlowQueue } from '../../engine/ports/queue.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { Outcome } from '../../engine/ports/tasks.ts';
import type { AcceptRuns, Caller } from '../../engine/ports/use-cases.ts';
import type { CallSpan } from '../../engine/tracing/call-spans.ts';
import {
  addSpan,
  attemptSpan,
  commitSpan,
  deliverySpan,
  type EngineSpans,
  type SpanExport,
} from '../../engine/tracing/span-export.ts';
import { parentIdOf, runSpanId } from '../../engine/tracing/span-ids.ts';
import type { HttpCore } from '../../http/server/core.ts';
import { isProbe } from '../../http/server/probes.ts';

/** Milliseconds since 1970, by the clock that this process goes by. */
type Now = () => number;
type Failure = EndedSpan['error'];

/** The messages of what failed outside of tasks may say anything; the class of the error says enough. */
function failureOf(error: unknown): NonNullable<Failure> {
  if (error instanceof OrchestratorError) return { type: error.code };
  return { type: error instanceof Error ? error.name : 'Error' };
}

async function timed<T>(
  now: Now,
  work: () => Promise<T>,
  over: (at: Pick<EndedSpan, 'startMs' | 'endMs' | 'error'>) => void,
) {
  const startMs = now();
  let error: Failure;
  try {
    return await work();
  } catch (cause) {
    error = failureOf(cause);
    throw cause;
  } finally {
    over({ startMs, endMs: Math.max(startMs, now()), error });
  }
}

/** The one span of each run whose jobs are given to the queue. */
export function tracedQueue<Queue extends Pick<FlowQueue, 'add'>>(
  queue: Queue,
  spans: SpanExport | undefined,
  now: Now,
): Queue {
  if (spans === undefined) return queue;
  return {
    ...queue,
    add(...of: Parameters<FlowQueue['add']>) {
      const [trees, traced = []] = of;
      const sampled = traced.flatMap((added) => {
        const { traceId, parentSpanId } = added.run;
        const isIn = traceId !== null && traceId !== undefined && spans.isSampled(traceId, parentSpanId);
        return isIn ? [{ added, traceId }] : [];
      });
      if (sampled.length === 0) return queue.add(trees);
      return timed(
        now,
        () => queue.add(trees),
        (at) => {
          for (const { added, traceId } of sampled) spans.add(addSpan(added, traceId, runSpanId(added.run.id), at));
        },
      );
    },
  };
}

/** Check, commit, and the way into the queue: what a client waits for. */
export function tracedAccepts<Accepts extends AcceptRuns>(
  accept: Accepts,
  spans: SpanExport | undefined,
  now: Now,
): Accepts {
  if (spans === undefined) return accept;
  const within = <T>(
    name: string,
    { traceId, parentSpanId, tenantId }: Caller,
    runs: number,
    work: () => Promise<T>,
  ): Promise<T> => {
    if (!spans.isSampled(traceId, parentSpanId)) return work();
    return timed(now, work, (at) =>
      spans.add({
        ...{ ...at, traceId, spanId: spans.newSpanId(), name, kind: 'internal' },
        parentId: parentSpanId === undefined ? null : parentIdOf(parentSpanId),
        attributes: { 'orchestrator.tenant': tenantId, 'orchestrator.executions': runs },
      }),
    );
  };
  return {
    ...accept,
    acceptTask: (caller, ...of) => within('accept task', caller, 1, () => accept.acceptTask(caller, ...of)),
    acceptTasks: (caller, requests) =>
      within('accept tasks', caller, requests.length, () => accept.acceptTasks(caller, requests)),
    executeWorkflow: (caller, ...of) =>
      within('accept execution', caller, 1, () => accept.executeWorkflow(caller, ...of)),
    executeWorkflowMany: (caller, id, requests) =>
      within('accept executions', caller, requests.length, () => accept.executeWorkflowMany(caller, id, requests)),
  };
}

type Answered = NonNullable<HttpCore['answered']>;
const FIRST_SERVER_ERROR = 500;

export function tracedAnswers(answered: Answered, spans: SpanExport | undefined, now: Now): Answered {
  if (spans === undefined) return answered;
  return (request) => {
    answered(request);
    const { span, traceId, method, endpoint, status, seconds, problem, tenantId } = request;
    if (span === undefined || (span.parentId === null && isPolledByMachines(endpoint))) return;
    const endMs = now();
    spans.add({
      ...{ traceId, ...span, name: `${method} ${endpoint}`, kind: 'server', startMs: endMs - seconds * 1_000, endMs },
      attributes: {
        'http.request.method': method,
        'http.route': endpoint,
        'http.response.status_code': status,
        ...(tenantId === undefined ? {} : { 'orchestrator.tenant': tenantId }),
        // What was wrong with the request is no error of the server's.
        ...(problem === undefined || status >= FIRST_SERVER_ERROR ? {} : { 'error.type': problem }),
      },
      ...(status < FIRST_SERVER_ERROR ? {} : { error: { type: problem ?? String(status) } }),
    });
  };
}

/** All the time, and they start nothing. */
function isPolledByMachines(endpoint: string): boolean {
  return isProbe(endpoint) || endpoint === '/metrics';
}

export interface TracedDeliveries extends EngineSpans {
  around(delivery: Delivery, work: () => Promise<Disposition>): Promise<Disposition>;
}

export function tracedDeliveries(spans: SpanExport | undefined, now: Now): TracedDeliveries | undefined {
  if (spans === undefined) return undefined;
  const found = new WeakMap<Delivery, { run: RunRow; planned: PlannedAction }>();
  return {
    delivered: (delivery, run, planned) => void found.set(delivery, { run, planned }),
    settled(attempt, outcome) {
      const { traceId, parentSpan } = attempt.run;
      if (traceId === null || !spans.isSampled(traceId, parentSpan)) return;
      const span = attemptSpan(attempt, outcome, now());
      if (span !== undefined) spans.add(span);
    },
    around: (delivery, work) =>
      timed(now, work, (at) => {
        const known = found.get(delivery);
        const traceId = known?.run.traceId;
        if (known === undefined || traceId === null || traceId === undefined) return;
        if (!spans.isSampled(traceId, known.run.parentSpan)) return;
        spans.add(deliverySpan(delivery, known, { traceId, spanId: spans.newSpanId() }, at));
      }),
  };
}

/** The group commit. */
export function tracedCommits(spans: SpanExport | undefined, now: Now) {
  if (spans === undefined) return undefined;
  return (outcomes: readonly Outcome[], statement: Promise<unknown>): void => {
    const sampled = outcomes.filter(
      ({ traceId, parentSpan }) => typeof traceId === 'string' && spans.isSampled(traceId, parentSpan),
    );
    if (sampled.length === 0) return;
    const ids = { traceId: spans.newTraceId(), spanId: spans.newSpanId() };
    timed(
      now,
      () => statement,
      (at) => spans.add(commitSpan(sampled, ids, at, outcomes.length)),
    ).catch(() => undefined); // Whoever sent it gets that error.
  };
}

export function tracedCalls(spans: SpanExport | undefined, now: Now): ((call: CallSpan) => void) | undefined {
  if (spans === undefined) return undefined;
  return (call) => {
    const { traceId, spanId, parentId, parentSpan, method, service, host, status, error, durationMs } = call;
    if (!spans.isSampled(traceId, parentSpan)) return;
    const endMs = now();
    const { hostname, port } = new URL(`http://${host}`);
    const attributes: SpanAttributes = {
      'http.request.method': method,
      'server.address': hostname,
      'orchestrator.service': service,
      'orchestrator.call': call.kind,
      'orchestrator.execution_id': call.runId,
      'orchestrator.tenant': call.tenantId,
      ...(port === '' ? {} : { 'server.port': Number(port) }),
      ...(status === null ? {} : { 'http.response.status_code': status }),
      ...(call.actionId === null ? {} : { 'orchestrator.action_id': call.actionId }),
      ...(call.attempt === null ? {} : { 'orchestrator.attempt': call.attempt }),
    };
    spans.add({
      ...{ traceId, spanId, parentId, name: `${method} ${service}`, kind: 'client', attributes },
      ...{ startMs: endMs - durationMs, endMs },
      ...(error === null ? {} : { error: { type: status === null ? 'no_answer' : String(status), message: error } }),
    });
  };
}
