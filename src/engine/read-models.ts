/** What the doors read and the workflows they keep. The stores implement these; everything is bound to a tenant. */
import type { Definition } from '../domain/definition.ts';
import type { TaskResult } from '../schemas/answers.ts';
import type {
  Execution,
  ExecutionSummary,
  Workflow,
  WorkflowSummary,
  WorkflowVersionSummary,
} from '../schemas/workflow-answers.ts';
import type { RunStatus } from './use-cases.ts';

export type WorkflowStatus = Workflow['status'];

export interface StoredWorkflow {
  id: string;
  /** The version that `definition` is. */
  version: number;
  currentVersion: number;
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
  /** Versions are numbered from 1 without gaps. */
  currentVersion: number;
}

export interface WorkflowFilter {
  page: number;
  page_size: number;
  status?: WorkflowStatus | undefined;
  created_by?: string | undefined;
  tag?: string | undefined;
  /** Part of the name, in any case. */
  name?: string | undefined;
}

export type UpdateOutcome =
  | { done: 'updated'; workflow: StoredWorkflow }
  | { done: 'stale'; version: number }
  | { done: 'unknown' };

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
  ): Promise<{ items: WorkflowVersionSummary[]; total: number } | undefined>;
  /** Only when the current version is still `expectedVersion`. With a definition it makes the next version. */
  update(
    tenantId: string,
    userId: string,
    id: string,
    change: { expectedVersion: number; definition?: Definition; status?: WorkflowStatus },
  ): Promise<UpdateOutcome>;
  /** `active`: refused because runs are active and `force` was not given. */
  remove(tenantId: string, id: string, force: boolean): Promise<'removed' | 'unknown' | 'active'>;
}

export interface RunFilter {
  workflowId?: string | undefined;
  correlationId?: string | undefined;
  status?: RunStatus | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** Newest first. `after`: the last item of the page before; else `skip` items are passed over. */
export interface RunWindow {
  limit: number;
  skip: number;
  after: { createdAt: Date; id: string } | undefined;
}

export interface RunReader {
  result(tenantId: string, runId: string): Promise<{ final: boolean; view: TaskResult } | undefined>;
  execution(tenantId: string, runId: string): Promise<Execution | undefined>;
  list(
    tenantId: string,
    filter: RunFilter,
    window: RunWindow,
  ): Promise<{ items: ExecutionSummary[]; total: number; more: boolean }>;
}
