/** Reads the activity of the workflows and executions of a tenant. The stores implement it. */

import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { RunSummary } from '../../engine/ports/run-views.ts';
import type { JsonObject } from '../../schemas/json.ts';

export interface StoredStep {
  actionId: string;
  op: string;
  source: string | undefined;
  status: TaskStatus;
  startedAt: Date | null;
  finishedAt: Date | null;
}

export interface HistoryReader {
  /** By execution: the first of its steps, and how many there are. */
  steps(
    runs: ReadonlyArray<Pick<RunSummary, 'id' | 'workflowId' | 'workflowVersion'>>,
  ): Promise<Map<string, { steps: StoredStep[]; total: number }>>;
}

/** What somebody did to a workflow or a lane. */
export interface Change {
  id: bigint;
  subject: string;
  subjectId: string;
  kind: string;
  by: string;
  reason: string | null;
  data: JsonObject | null;
  at: Date;
}

/** That an execution was started, and how it stands. */
export interface Start {
  id: string;
  workflowId: string;
  workflowVersion: number;
  workflowName: string | null;
  status: RunStatus;
  correlationId: string | null;
  userId: string;
  createdAt: Date;
  finishedAt: Date | null;
}

export type Activity = { change: Change } | { start: Start };

/** Where a page of activity ended, in each of the two streams that it is made of; undefined: at their start. */
export interface ActivityPosition {
  change: string | undefined;
  execution: { createdAt: Date; id: string } | undefined;
}
export interface ActivityReader {
  list(
    tenantId: string,
    filter: { userId: string | undefined; limit: number; after: ActivityPosition },
  ): Promise<{ items: Activity[]; next: ActivityPosition | undefined }>;
}
