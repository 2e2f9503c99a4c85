/** What the API reads, and the store of workflows. The stores implement these; everything is bound to a tenant. */

import type { Definition } from '../../domain/definition/definition.ts';
import type { Canary } from '../../domain/runs/canary.ts';
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Workflow } from '../../schemas/workflow-answers.ts';
import type { PartView, PausedBy, RunResult, RunSummary, RunView } from './run-views.ts';
import type { Caller } from './use-cases.ts';

export type WorkflowStatus = Workflow['status'];

export interface StoredWorkflow {
  id: string;
  /** The version that `definition` is. */
  version: number;
  currentVersion: number;
  /** A newer or older version that gets a share of the executions. */
  canary?: Canary | undefined;
  status: WorkflowStatus;
  definition: Definition;
  createdBy: string;
  createdAt: Date;
  updatedAt: Date;
}

/** What changes of a workflow; its versions do not. */
export interface WorkflowHead {
  id: string;
  status: WorkflowStatus;
  currentVersion: number;
  /** Versions are numbered from 1 without gaps; it may be newer than the current one. */
  newestVersion: number;
  canary?: Canary | undefined;
}

/** A workflow as lists have it, at its current version. */
export interface WorkflowSummary {
  id: string;
  name: string;
  description: string | null;
  version: number;
  status: WorkflowStatus;
  tags: string[];
  /** How many it has; of runs so many are counted at most. */
  parameters: number;
  actions: number;
  runs: number;
  createdBy: string;
  createdAt: Date;
  updatedAt: Date;
}

/** One version, and how its runs ended. */
export interface WorkflowVersion {
  version: number;
  name: string;
  description: string | null;
  /** How many it has. */
  actions: number;
  runs: number;
  completed: number;
  failed: number;
  isCurrent: boolean;
  /** Of a canary. */
  canaryPercent: number | null;
  createdBy: string;
  createdAt: Date;
}

export interface WorkflowFilter {
  page: number;
  page_size: number;
  status?: WorkflowStatus | undefined;
  created_by?: string | undefined;
  tag?: string | undefined;
  /** Part of the name, in any case; `name_contains` likewise. */
  name?: string | undefined;
  name_contains?: string | undefined;
  /** All of them. */
  tags?: readonly string[] | undefined;
}

export type UpdateOutcome =
  | { done: 'updated'; workflow: StoredWorkflow }
  | { done: 'stale'; version: number }
  | { done: 'unknown' };

export interface WorkflowChange {
  expectedVersion: number;
  definition?: Definition;
  status?: WorkflowStatus;
  canaryPercent?: number;
}

export type CanaryOutcome = 'done' | 'unknown' | 'no_such_version' | 'is_current';

export interface WorkflowStore {
  create(tenantId: string, userId: string, definition: Definition): Promise<StoredWorkflow>;
  /** Undefined: no such workflow, or no such version of it, or it was deleted. */
  find(tenantId: string, id: string, version?: number): Promise<StoredWorkflow | undefined>;
  /** By id, else the newest one of that name. */
  resolve(tenantId: string, idOrName: string, version?: number): Promise<StoredWorkflow | undefined>;
  /** True also for a deleted one: its history stays. */
  existed(tenantId: string, id: string): Promise<boolean>;
  list(tenantId: string, filter: WorkflowFilter): Promise<{ items: WorkflowSummary[]; total: number }>;
  versions(
    tenantId: string,
    id: string,
    page: number,
    pageSize: number,
  ): Promise<{ items: WorkflowVersion[]; total: number } | undefined>;
  /**
   * Only when the current version is still `expectedVersion`. With a definition it makes the next version, which becomes
   * the current one, or with `canaryPercent` the canary.
   */
  update(tenantId: string, userId: string, id: string, change: WorkflowChange): Promise<UpdateOutcome>;
  /** Undefined takes it away; then every execution that names no version is of the current one again. */
  setCanary(tenantId: string, id: string, canary: Canary | undefined): Promise<CanaryOutcome>;
  /** The canary becomes the current version; undefined: there is no canary. */
  promoteCanary(tenantId: string, id: string): Promise<number | undefined>;
  /**
   * `active`: rejected because runs are active and there was no operation. `cancelling`: the operation that cancels them is
   * stored with it.
   */
  remove(
    by: Pick<Caller, 'tenantId' | 'userId'>,
    id: string,
    operationId: string | undefined,
  ): Promise<'removed' | 'cancelling' | 'unknown' | 'active'>;
}

export interface RunFilter {
  workflowId?: string | undefined;
  correlationId?: string | undefined;
  status?: RunStatus | undefined;
  /** Without single tasks. */
  ofWorkflows?: boolean | undefined;
  /** Of workflows that have this tag now. */
  workflowTag?: string | undefined;
  /** Who started it. */
  userId?: string | undefined;
  /** Those that tasks of this run started. */
  parent?: string | undefined;
  /** Any of these. */
  statuses?: readonly RunStatus[] | undefined;
  ids?: readonly string[] | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** Newest first. `after`: the last item of the page before; else `skip` items are passed over. */
export interface RunWindow {
  limit: number;
  skip: number;
  after: { createdAt: Date; id: string } | undefined;
}

export interface PartsQuery {
  of: string;
  status: TaskStatus | undefined;
  limit: number;
  /** The position of the last one seen. */
  after: number | undefined;
}

export interface RunReader {
  result(tenantId: string, runId: string): Promise<RunResult | undefined>;
  execution(tenantId: string, runId: string): Promise<RunView | undefined>;
  /** Items of a fan-out or iterations of a loop, in their order; undefined: no such run. */
  parts(tenantId: string, runId: string, query: PartsQuery): Promise<{ items: PartView[]; more: boolean } | undefined>;
  list(
    tenantId: string,
    filter: RunFilter,
    window: RunWindow,
  ): Promise<{ items: RunSummary[]; total: number; more: boolean }>;
}

/** That somebody paused or resumed something. */
export interface ControlEvent {
  id: string;
  subject: 'workflow' | 'lane';
  subjectId: string;
  kind: string;
  by: string;
  reason: string | null;
  details: { runs: string } | null;
  at: Date;
}

export interface ControlEventReader {
  /** Who paused it last; undefined: nobody that was recorded. */
  workflowPausedBy(tenantId: string, workflowId: string): Promise<PausedBy | undefined>;
  /** Newest first; `before`: the id of the last one of the page before. */
  list(
    tenantId: string,
    filter: {
      subject: 'workflow' | 'lane' | undefined;
      subjectId: string | undefined;
      before: string | undefined;
      limit: number;
    },
  ): Promise<{ items: ControlEvent[]; more: boolean }>;
}

/** How the newest runs of a workflow ended. */
export interface RunCounts {
  total: number;
  completed: number;
  failed: number;
  /** Share of those that completed; null: none has completed or failed. */
  successRate: number | null;
  /** Of those that completed. */
  averageSeconds: number | null;
  newestAt: Date | null;
}

export type StatisticsOfWorkflow = (tenantId: string, workflowId: string) => Promise<RunCounts>;
