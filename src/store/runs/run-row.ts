/** The columns of a run that the engine works with, and their reading. */
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { RunRow } from '../../engine/ports/rows.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { JsonObject } from '../../schemas/json.ts';

export const RUN_COLUMNS = `r.id, r.tenant_id, r.user_id, r.workflow_id, r.workflow_version, r.inline, r.epoch, r.gen, r.status,
  r.final, r.priority, r.parameters, r.correlation_id, r.trace_id, r.parent_span_id, r.created_at, r.deadline_at, r.waits_for_slot, r.awaited, r.left_queue,
  r.execution_context`;

export interface RawRun {
  id: string;
  tenant_id: string;
  user_id: string;
  workflow_id: string | null;
  workflow_version: number | null;
  inline: DefinitionRef | null;
  epoch: number;
  gen: number;
  status: RunStatus;
  final: boolean;
  priority: number;
  parameters: JsonObject;
  execution_context?: JsonObject | null;
  correlation_id: string | null;
  trace_id: string | null;
  parent_span_id: string | null;
  created_at: Date;
  deadline_at: Date | null;
  waits_for_slot?: boolean | null;
  awaited: boolean | null;
  left_queue?: boolean | null;
}

/** Made for every task that is delivered: one literal without a spread, so that all have one shape. */
export function toRunRow(raw: RawRun): RunRow {
  return {
    id: raw.id,
    status: raw.status,
    final: raw.final,
    tenantId: raw.tenant_id,
    userId: raw.user_id,
    of: definitionRef(raw),
    epoch: raw.epoch,
    gen: raw.gen,
    priority: raw.priority,
    parameters: raw.parameters,
    executionContext: raw.execution_context,
    correlationId: raw.correlation_id,
    traceId: raw.trace_id,
    parentSpan: raw.parent_span_id,
    createdAt: raw.created_at,
    deadlineAt: raw.deadline_at,
    waitsForSlot: raw.waits_for_slot === true || undefined,
    awaited: raw.awaited === true || undefined,
    leftQueue: raw.left_queue === true || undefined,
  } as RunRow; // Both columns are written from one table of states, in one statement.
}

export function definitionRef(raw: Pick<RawRun, 'workflow_id' | 'workflow_version' | 'inline' | 'id'>): DefinitionRef {
  if (raw.workflow_id !== null && raw.workflow_version !== null) {
    return { workflow_id: raw.workflow_id, version: raw.workflow_version };
  }
  if (raw.inline === null) throw new Error(`run ${raw.id} names no definition`);
  return raw.inline;
}
