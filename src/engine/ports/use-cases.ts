/**
 * The use cases that the API calls. `compose/` puts the implementations together; an endpoint parses, calls one of
 * these and answers. All throw `OrchestratorError`; everything is bound to the caller's tenant.
 */

import type { Permission } from '../../domain/access.ts';
import type { ErrorCode, FieldFault } from '../../domain/errors.ts';
import type { ReopenedAction } from '../../domain/runs/reopen.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Checks } from '../../domain/texts/checks.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { Workflow } from '../../schemas/workflow-answers.ts';
import type { ControlOperation } from './control-operations.ts';

export interface Caller {
  tenantId: string;
  userId: string;
  /** X-Correlation-ID, else undefined. */
  correlationId: string | undefined;
  /** 32 hex digits, from `traceparent` or made for the request. */
  traceId: string;
  /** Its parent span, as `storedParent` has it: that of the request where spans are exported, else the caller's. */
  parentSpanId?: string | undefined;
  /** Whether its credentials give the permission. Left out: the service acts by itself, and may. */
  may?(permission: Permission): boolean;
}

export interface TaskRequest {
  task_type: string;
  params: JsonObject;
  priority?: number | undefined;
  delay_seconds?: number | undefined;
  max_attempts?: number | undefined;
  timeout_seconds?: number | undefined;
  callback_url?: string | undefined;
  correlation_id?: string | undefined;
}

export interface AcceptedRun {
  id: string;
  status: RunStatus;
  workflowId: string | null;
  workflowVersion: number | null;
  createdAt: Date;
  /** Undeclared parameters that were accepted all the same. */
  warnings: string[];
  /** True when nothing new was started: the idempotency key had been used before, or `deduplicated`. */
  repeated: boolean;
  /** An execution within the window of the workflow's `dedupe` has the same key: it is this one. */
  deduplicated?: true;
}
export type ItemFault = {
  code: ErrorCode;
  detail: string;
  errors: FieldFault[];
  /** The execution that stands in the way. */
  executionId?: string;
};

export interface ExecuteRequest {
  parameters: JsonObject;
  version?: number | undefined;
  priority?: number | undefined;
  delay_seconds?: number | undefined;
  correlation_id?: string | undefined;
  idempotency_key?: string | undefined;
  callback_url?: string | undefined;
  /** Reject undeclared parameters. */
  strict: boolean;
  /** Shown among the sagas, although nothing in it has a compensation. */
  saga?: true | undefined;
  /** The id of the run, where whoever starts it names one; one that is taken is an error of the database. */
  execution_id?: string | undefined;
  /** `{{run.execution_context}}` of its templates. */
  execution_context?: JsonObject | undefined;
}

export interface AcceptRuns {
  /** `task_type` names an adapter or else a workflow (by id or name). */
  acceptTask(caller: Caller, request: TaskRequest, idempotencyKey: string | undefined): Promise<AcceptedRun>;
  /** One bad item does not sink the rest. */
  acceptTasks(caller: Caller, requests: TaskRequest[]): Promise<Array<AcceptedRun | ItemFault>>;
  executeWorkflow(caller: Caller, workflowId: string, request: ExecuteRequest): Promise<AcceptedRun>;
  executeWorkflowMany(
    caller: Caller,
    workflowId: string,
    requests: ExecuteRequest[],
  ): Promise<Array<AcceptedRun | ItemFault>>;
  /** The plan (order, flow trees) of an execution that would be accepted. */
  dryRun(caller: Caller, workflowId: string, request: ExecuteRequest): Promise<JsonObject>;
}

export interface CancelRuns {
  /** 404 unknown, 409 `already_final`. Resolves to the status after the request. */
  cancelRun(caller: Caller, runId: string, reason: string | undefined): Promise<RunStatus>;
}

export interface RetryRuns {
  /** 404 unknown, 409 `not_retryable`: not ended, completed, or retried by somebody else at this moment. */
  retryRun(
    caller: Caller,
    runId: string,
    reason?: string | undefined,
  ): Promise<{ status: RunStatus; epoch: number; reopened: number }>;
}

/** Of a run alone 404 unknown, 409 `conflict` or `already_final` in the wrong state; they resolve to the status then. */
export interface PauseRuns {
  pauseRun(caller: Caller, runId: string, reason: string | undefined): Promise<RunStatus>;
  resumeRun(caller: Caller, runId: string, reason: string | undefined): Promise<RunStatus>;
  /** Of many, those that are in a state for it; the others stay as they are. */
  pauseRuns(caller: Caller, runIds: readonly string[], reason: string | undefined): Promise<ChangedTogether>;
  resumeRuns(caller: Caller, runIds: readonly string[], reason: string | undefined): Promise<ChangedTogether>;
}
export interface ChangedTogether {
  changed: readonly string[];
  /** Runs that can only be done one by one, as they stand below others; nothing has been done to them. */
  left: readonly string[];
}

/** 404 unknown run, 422 unknown action, 409 when the run or the action has ended. */
export interface SettleManually {
  skip(caller: Caller, action: ActionOfRun, how: ManualEnd): Promise<Settled>;
  /** 413 or 400 when the output cannot be stored. */
  complete(caller: Caller, action: ActionOfRun, output: Json, how: ManualEnd): Promise<Settled>;
}

export interface ActionOfRun {
  runId: string;
  actionId: string;
}

export interface ManualEnd {
  reason: string | undefined;
  /** May stand in for the approvers of an approval; 403 without it, where there are some. */
  mayOverride?: boolean;
}

export interface Settled {
  /** It was for others to decide. */
  overridden: boolean;
}

/** 404 unknown workflow, 409 `conflict` when it is not in the state for it. `operation`: what is done to its runs. */
export interface PauseWorkflows {
  pause(
    caller: Caller,
    workflowId: string,
    request: { reason: string | undefined; runs: 'keep' | 'pause' },
  ): Promise<{ status: Workflow['status']; operation: ControlOperation | undefined }>;
  resume(
    caller: Caller,
    workflowId: string,
    request: { reason: string | undefined; runs: 'keep' | 'resume' },
  ): Promise<{ status: Workflow['status']; operation: ControlOperation | undefined }>;
}

export interface LaneView {
  lane: string;
  paused: boolean;
  by: string | null;
  since: string | null;
  reason: string | null;
  /** Null when the queue cannot be reached. */
  depth: number | null;
  active: number | null;
  delayed: number | null;
}
/** A lane is the queue of an action type, of all tenants. 404 unknown, 409 `conflict` when it is so already. */
export interface Lanes {
  list(caller: Caller): Promise<LaneView[]>;
  pause(caller: Caller, lane: string, reason: string | undefined): Promise<void>;
  resume(caller: Caller, lane: string, reason: string | undefined): Promise<void>;
}

/** Selects runs; at least one field is set. */
export interface BulkFilter {
  executionIds?: readonly string[] | undefined;
  workflowId?: string | undefined;
  correlationId?: string | undefined;
  status?: RunStatus | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}
export interface BulkReport {
  /** Runs that are as the filter says and in a state for it, also those beyond what one request does. */
  matched: number;
  /** What was done, or would be. */
  runs: number;
  actions: number;
  users: Record<string, number>;
  workflows: Record<string, number>;
  /** Actions that would act outside once more: in how many runs. */
  actsAgain: Array<{ workflowId: string | null; actionId: string; actionType: string; runs: number }>;
}
export interface BulkControl {
  plan(caller: Caller, verb: 'cancel' | 'retry', filter: BulkFilter): Promise<BulkReport>;
  /** The runs are done one by one; what changed in the meantime is passed over. */
  carryOut(
    caller: Caller,
    verb: 'cancel' | 'retry',
    filter: BulkFilter,
    reason: string | undefined,
  ): Promise<{ matched: number; runs: number }>;
}

export interface RerunRequest {
  actionId: string;
  reason: string | undefined;
}

export interface RerunRuns {
  /** 404 unknown run, 422 unknown action, 409 `not_retryable` when it has not ended. */
  planRerun(caller: Caller, runId: string, request: RerunRequest): Promise<RerunPlan>;
  rerun(
    caller: Caller,
    runId: string,
    request: RerunRequest,
  ): Promise<{ status: RunStatus; epoch: number; reopened: number }>;
}

export interface RerunPlan {
  epoch: number;
  tenantId: string;
  userId: string;
  workflowId: string | null;
  workflowVersion: number | null;
  reopened: ReopenedAction[];
  kept: number;
}

export interface WaitForRuns {
  /** Resolves as soon as the run is final, the time is up or the signal aborts; true when it is final. */
  waitUntilFinal(runId: string, milliseconds: number, signal: AbortSignal): Promise<boolean>;
}

export interface Health {
  /** Probes both stores, bounded to a second or two. `redis` is null on the PostgreSQL queue. `problems`: what fails now, by name. */
  check(): Promise<{ database: boolean; redis: boolean | null; problems: string[] }>;
}

/** The catalogue of adapters, as the API reads it. */
export interface ActionTypes {
  list(): Array<{
    action_type: string;
    description: string;
    aliases: string[];
    idempotent: boolean;
    config_schema: JsonObject;
    output_schema: JsonObject;
  }>;
  names(): string[];
  /** The canonical type for a type or one of its aliases. */
  canonical(type: string): string | undefined;
  /** Faults of a literal config (one without templates), paths relative to `config`. */
  check(type: string, config: Json, checks: Checks): FieldFault[];
  /** By canonical type: what somebody needs besides who wants one of it to be executed. */
  permissionOf(type: string): Permission | undefined;
}
