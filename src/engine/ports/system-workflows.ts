/** The service's own workflows: their store, and how the API starts runs of them. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { RunView } from './run-views.ts';
import type { RunStore } from './runs.ts';
import type { AcceptedRun, Caller } from './use-cases.ts';

/** Where a definition says which content it has. */
export const CONTENT = 'content';

export interface SystemWorkflowStore {
  /** The number of the version with that content, which is made when there is none: one, however many ask at the same time. */
  ensureVersion(tenantId: string, id: string, definition: Definition, content: string): Promise<number>;
}

export interface SystemRunRequest {
  /** Else that of the caller. */
  correlationId?: string | undefined;
  idempotencyKey?: string | undefined;
  priority?: number | undefined;
  /** Shown among the sagas. */
  saga?: true;
  /** Stores the run together with what belongs to it. */
  runs?: Pick<RunStore, 'accept'>;
}

export interface SystemRuns {
  start(caller: Caller, name: string, parameters: JsonObject, request: SystemRunRequest): Promise<AcceptedRun>;
  /** `ended` is undefined when it is still under way by then, and goes on. */
  runAndWait(
    caller: Caller,
    name: string,
    parameters: JsonObject,
    request: SystemRunRequest & { waitMs: number; signal: AbortSignal },
  ): Promise<{ accepted: AcceptedRun; ended: RunView | undefined }>;
}
