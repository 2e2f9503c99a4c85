/** How the workflows of a tenant are changed, whichever API asks. */

import type { Definition } from '../../domain/definition/definition.ts';
import type { Canary } from '../../domain/runs/canary.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { ControlOperation } from './control-operations.ts';
import type { StoredWorkflow } from './read-models.ts';
import type { Caller } from './use-cases.ts';

export interface WorkflowUpdate {
  /** The fields of the definition that change; without any no version is made. */
  patch: JsonObject;
  status?: StoredWorkflow['status'] | undefined;
  /** The new version does not become the current one but gets this share. */
  canaryPercent?: number | undefined;
  /** Throws when the client meant another version than the newest one. */
  precondition(current: StoredWorkflow): void;
}

/** 404 unknown workflow, 403 for one of the service itself, 422 when a definition cannot work. */
export interface ManageWorkflows {
  /** 403 for a definition that names another tenant. */
  create(caller: Caller, written: JsonObject): Promise<StoredWorkflow>;
  /** Checks all that `create` does, and saves nothing. */
  validate(caller: Caller, written: JsonObject): Promise<Definition>;
  /** 409 `conflict` while others change it at the same time. */
  update(caller: Caller, workflowId: string, update: WorkflowUpdate): Promise<StoredWorkflow>;
  /** 404 unknown version, 409 `conflict` for the current one. Resolves to the workflow in its current version. */
  setCanary(caller: Caller, workflowId: string, canary: Canary): Promise<StoredWorkflow>;
  removeCanary(caller: Caller, workflowId: string): Promise<void>;
  /** 409 `conflict` without a canary. */
  promoteCanary(caller: Caller, workflowId: string): Promise<StoredWorkflow>;
}

/** 404 unknown workflow, 409 `active_runs` without `force`. Resolves to what cancels its runs, where there were some. */
export type DeleteWorkflow = (
  caller: Caller,
  workflowId: string,
  force: boolean,
) => Promise<ControlOperation | undefined>;
