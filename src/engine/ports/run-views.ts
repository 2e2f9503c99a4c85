/** Runs as they are read for those who look at them. The API makes its JSON of these (http/present). */

import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { LateEffect } from './late-effects.ts';

interface Times {
  startedAt: Date | null;
  finishedAt: Date | null;
}

/** A run as lists have it: without parameters, output and tasks. */
export interface RunSummary extends Times {
  id: string;
  /** Null for a single task. */
  workflowId: string | null;
  workflowVersion: number | null;
  status: RunStatus;
  /** Of a single task. */
  actionType: string | undefined;
  error: Json;
  priority: number;
  traceId: string | null;
  correlationId: string | null;
  tenantId: string;
  userId: string;
  /** The task that started it. */
  parent: { runId: string; actionId: string } | null;
  createdAt: Date;
  deadlineAt: Date | null;
}

/** A run with its tasks, in the order of its definition. */
export interface RunView extends RunSummary {
  waitsFor: ConcurrencyWait | undefined;
  parameters: JsonObject;
  output: Json;
  tasks: TaskView[];
  cancelReason: string | null;
  paused: PausedBy | undefined;
  lateEffects: LateEffect[];
}

/** It waits for other runs of its group to end. */
export interface ConcurrencyWait {
  key: string;
  limit: number;
  /** 1 is next; undefined: too far behind to be counted. */
  position: number | undefined;
}

/** Who paused something, since when and why. */
export interface PausedBy {
  by: string;
  since: Date;
  reason: string | null;
}

/** What is shown of every task, of a part of one and of a compensation. */
interface TaskOutcome extends Times {
  status: TaskStatus;
  attempts: number;
  input: Json;
  output: Json;
  error: Json;
}

export interface TaskView extends TaskOutcome {
  actionId: string;
  actionType: string;
  history: AttemptView[];
  /** Of a fan-out or loop. */
  parts: PartCounts | undefined;
  compensation: CompensationView | undefined;
  /** Input and output were left out, as there is too much of them. */
  omitted: boolean;
  /** The output is that of an earlier run. */
  cached: boolean;
  /** It was executed, and nobody heard how that ended. */
  effectUnknown: boolean;
  progress: { percent: number | null; message: string | null; at: Date } | null;
  queuedAt: Date | null;
  worker: string | null;
  external: ExternalTaskView | undefined;
  /** The run that it started last. */
  child: ChildView | undefined;
  /** While it sleeps. */
  waitsFor: TaskWait | undefined;
}

export interface AttemptView {
  attempt: number;
  epoch: number;
  status: string;
  error: Json;
  worker: string | null;
  startedAt: Date;
  finishedAt: Date;
}

/** How many parts a task has in all, and in each status. */
export type PartCounts = { total: number } & Partial<Record<TaskStatus, number>>;

export interface CompensationView extends TaskOutcome {
  actionType: string;
}

/** The newest attempt of a task that external workers do. */
export interface ExternalTaskView {
  id: string;
  topic: string;
  status: 'available' | 'leased' | 'completed' | 'failed' | 'timed_out' | 'closed';
  workerId: string | null;
  deliveries: number;
  leaseUntil: Date | null;
  deadlineAt: Date;
  /** As the last heartbeat said. */
  progress: { percent?: number | undefined; message?: string | undefined } | null;
}

export interface ChildView {
  runId: string;
  status: RunStatus;
}

/** What somebody outside has to do before a sleeping task goes on. */
export type TaskWait = { deadline: Date | null; since: Date } & (
  | { kind: 'approval'; message: string | null; approvers: string[]; escalated: boolean }
  | { kind: 'signal'; name: string }
);

/** An item of a fan-out or an iteration of a loop. */
export interface PartView extends TaskOutcome {
  actionId: string;
  position: number;
  history: AttemptView[];
  item: Json;
  worker: string | null;
  waitsFor: TaskWait | undefined;
}

/** A run as the single-task API has it. */
export interface RunResult {
  id: string;
  status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';
  final: boolean;
  /** Of one that completed. */
  output: Json;
  /** Why it did not complete. */
  message: string | undefined;
  attempts: number;
  changedAt: Date;
}
