/** What the flow runner needs of its store, and what it offers to whoever hands requests in. */

import type { Definition } from '../../domain/definition/definition.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';
import type { FlowRunMessage } from './schemas.ts';

/** A request under the id of its requester, and the digest of what it says. */
export interface FlowRequest {
  tenantId: string;
  runId: string;
  flowId: string;
  digest: string;
}

/**
 * `new`: nobody had that id. `open`: the same request came before, and there is no run yet. `run`: there is one. `other`:
 * another request has the id.
 */
export type Claim = { is: 'new' } | { is: 'open' } | { is: 'run'; correlationId: string | null } | { is: 'other' };

export interface FlowInbox {
  claim(request: FlowRequest): Promise<Claim>;
  /** Takes a request away that has no run. */
  release(request: Pick<FlowRequest, 'tenantId' | 'runId'>): Promise<void>;
  find(tenantId: string, runId: string): Promise<{ flowId: string; correlationId: string | null } | undefined>;
  /** An unlisted workflow with this one version; the same as often as it is stored. */
  storeDefinition(caller: Pick<Caller, 'tenantId' | 'userId'>, id: string, definition: Definition): Promise<void>;
}

export interface TakenRun {
  runId: string;
  correlationId: string;
  /** Nothing new was started. */
  repeated: boolean;
}

/**
 * Takes one request in; the caller’s tenant is whose run it becomes. What is not retryable of the errors that it throws is
 * final: `invalid_request`, `unknown_flow`, `unknown_handler`, `run_id_conflict`, and what accepting a run rejects.
 */
export type TakeFlowRun = (
  caller: Caller,
  message: FlowRunMessage,
  idempotencyKey?: string | undefined,
) => Promise<TakenRun>;

export interface TaskInputs {
  handler: string;
  /** From 0. */
  attempt: number;
  inputs: Json;
  executionContext: Json;
}

/** `attempt`: from 0; undefined: the newest. */
export type ReadTaskInputs = (
  tenantId: string,
  runId: string,
  taskId: string,
  attempt: number | undefined,
) => Promise<TaskInputs | undefined>;
