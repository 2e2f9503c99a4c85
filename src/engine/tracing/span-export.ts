/**
 * What goes to a collector of traces, where there is one. What has rows (runs, tasks, attempts) and what is written down as a
 * call has the same ids there as in `/infrastructure/tracing`: both follow from what it is. Nobody waits for any of it.
 */

import type { EndedSpan, SpanAttributes } from '../../domain/ended-span.ts';
import type { PlannedAction } from '../../domain/graph/plan.ts';
import type { Attempt } from '../deliver/attempt.ts';
import type { Delivery, TracedAdd } from '../ports/queue.ts';
import type { RunRow } from '../ports/rows.ts';
import type { Outcome } from '../ports/tasks.ts';
import { addSpanId, attemptSpanId, taskSpanId } from './span-ids.ts';

export interface SpanExport {
  /** `parentSpan`: of the run, as it is stored. */
  isSampled(traceId: string, parentSpan: string | null | undefined): boolean;
  newSpanId(): string;
  newTraceId(): string;
  /** Returns at once; what there is no room for is dropped and counted. */
  add(span: EndedSpan): void;
}

export function tracedAdd(
  { id, tenantId, traceId, parentSpan, epoch }: RunRow,
  gen: number,
  segment: number,
): TracedAdd {
  return { run: { id, tenantId, traceId, parentSpanId: parentSpan ?? undefined }, epoch, gen, segment };
}

export function addSpan(
  { run, epoch, gen, segment }: TracedAdd,
  traceId: string,
  parentId: string,
  at: Pick<EndedSpan, 'startMs' | 'endMs' | 'error'>,
): EndedSpan {
  return {
    ...at,
    ...{ traceId, spanId: addSpanId(run.id, epoch, gen, segment), parentId, name: 'send jobs', kind: 'producer' },
    attributes: {
      ...messaging('send', 'create'),
      ...ofRun(run.id, run.tenantId, epoch),
      'orchestrator.segment': segment,
    },
  };
}

/** From when a worker took the job until it gave it back. */
export function deliverySpan(
  delivery: Delivery,
  { run, planned }: { run: RunRow; planned: PlannedAction },
  ids: { traceId: string; spanId: string },
  at: Pick<EndedSpan, 'startMs' | 'endMs' | 'error'>,
): EndedSpan {
  const { data, queue, jobId } = delivery;
  const { action_id: actionId } = planned.action;
  // The jobs of parts and of what undoes are not added with a segment.
  const isOfSegment = planned.item === undefined && planned.compensates === undefined;
  const sent = { traceId: ids.traceId, spanId: addSpanId(run.id, run.epoch, data.gen, planned.segment) };
  return {
    ...at,
    ...ids,
    ...{ parentId: taskSpanId(run.id, actionId), name: `process ${queue}`, kind: 'consumer' },
    attributes: {
      ...messaging('process', 'process'),
      ...ofRun(run.id, run.tenantId, run.epoch),
      'orchestrator.action_id': actionId,
      'messaging.destination.name': queue,
      'messaging.message.id': jobId,
      'orchestrator.deliveries': delivery.attemptsStarted,
      'orchestrator.redelivered': delivery.stalledCounter > 0 || data.gen > 0,
    },
    ...(isOfSegment ? { links: [sent] } : {}),
  };
}

/** An attempt that this commit has ended; undefined: it has ended none that was executed. */
export function attemptSpan({ run, planned }: Attempt, outcome: Outcome, nowMs: number): EndedSpan | undefined {
  const { startedMono, ended, actionId, epoch, attempt } = outcome;
  if (!ended || startedMono === null || run.traceId === null) return undefined;
  return {
    traceId: run.traceId,
    spanId: attemptSpanId(run.id, epoch, actionId, attempt),
    parentId: taskSpanId(run.id, actionId),
    name: `${actionId} #${attempt}`,
    kind: 'internal',
    startMs: nowMs - Math.max(0, performance.now() - startedMono),
    endMs: nowMs,
    attributes: {
      ...ofRun(run.id, run.tenantId, epoch),
      'orchestrator.action_id': actionId,
      'orchestrator.action_type': planned.action.action_type,
      'orchestrator.attempt': attempt,
      'orchestrator.worker': outcome.worker,
      'orchestrator.status': outcome.status === 'retrying' ? 'failed' : outcome.status,
    },
    error: errorOf(outcome),
  };
}

/** The statement of a batch. It serves several traces, so it is in none of them and points at all. */
export function commitSpan(
  outcomes: readonly Outcome[],
  ids: { traceId: string; spanId: string },
  at: Pick<EndedSpan, 'startMs' | 'endMs' | 'error'>,
  batchSize: number,
): EndedSpan {
  return {
    ...at,
    ...ids,
    ...{ parentId: null, name: 'commit outcomes', kind: 'client' },
    attributes: {
      'db.system.name': 'postgresql',
      'db.operation.name': 'commit outcomes',
      'db.operation.batch.size': batchSize,
    },
    links: outcomes.flatMap(({ traceId, runId, epoch, actionId, attempt, ended, startedMono }) => {
      if (traceId === null || traceId === undefined) return [];
      const hasAttempt = ended && startedMono !== null;
      const spanId = hasAttempt ? attemptSpanId(runId, epoch, actionId, attempt) : taskSpanId(runId, actionId);
      return [{ traceId, spanId }];
    }),
  };
}

export function ofRun(runId: string, tenantId: string, epoch: number): SpanAttributes {
  return { 'orchestrator.execution_id': runId, 'orchestrator.tenant': tenantId, 'orchestrator.epoch': epoch };
}

function messaging(name: string, type: string): SpanAttributes {
  return { 'messaging.system': 'bullmq', 'messaging.operation.name': name, 'messaging.operation.type': type };
}

function errorOf({ error }: Outcome): EndedSpan['error'] {
  if (error === null) return undefined;
  const { code, message } = JSON.parse(error) as { code: string; message: string }; // Text that errorText wrote.
  return { type: code, message };
}

/** What the engine notifies of what it does; undefined members cost nothing. */
export interface EngineSpans {
  /** A job turned out to be of this run. */
  delivered(delivery: Delivery, run: RunRow, planned: PlannedAction): void;
  /** Its outcome is committed. */
  settled(attempt: Attempt, outcome: Outcome): void;
}
