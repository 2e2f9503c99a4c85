/** Erasing and exporting what is stored of a tenant or of one user. docs/decisions/0048 has what goes and what stays. */

import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

export interface Erasure {
  id: string;
  tenantId: string;
  /** A user id; null: everything of the tenant. */
  subject: string | null;
  force: boolean;
  status: 'pending' | 'running' | 'completed';
  /** Rows so far, by table. */
  removed: Record<string, number>;
  requestedBy: string;
  requestedAt: Date;
  finishedAt: Date | null;
}

export interface ErasureScope {
  tenantId: string;
  subject: string | undefined;
}

export interface ExportedRow {
  kind: string;
  data: JsonObject;
}

export interface TenantData {
  /** Rows by table, and executions that have not ended. */
  preview(scope: ErasureScope): Promise<{ rows: Record<string, number>; active: number }>;
  /** One that is under way for the same is answered again. */
  request(caller: Caller, scope: ErasureScope, force: boolean): Promise<Erasure>;
  find(tenantId: string, id: string): Promise<Erasure | undefined>;
  /** Page by page, by keys: nothing is locked between pages. */
  rows(tenantId: string): AsyncIterable<ExportedRow[]>;
}

/** Executions that go next, with the tasks that the queue may still have a job of. */
export interface NextRuns {
  erasureId: string;
  runs: ReadonlyArray<{
    runId: string;
    epoch: number;
    tasks: ReadonlyArray<{ actionId: string; actionType: string }>;
  }>;
}

/** Of these the queue has nothing any more; `jobs`: how many it had. */
export interface Cleared {
  erasureId: string;
  runIds: readonly string[];
  jobs: number;
}

/** What a worker does of it. */
export interface ErasureSteps {
  /** False: there is nothing to erase, as nearly always. */
  isRequested(): Promise<boolean>;
  /** Executions that an erasure which may cancel them waits for. */
  activeRuns(limit: number): Promise<Array<{ tenantId: string; runId: string }>>;
  /** Those that ended so long ago that the queue has forgotten them are not among them. Undefined: there are none. */
  nextRuns(): Promise<NextRuns | undefined>;
  /**
   * One batch, in one transaction with how far it is; undefined: nothing can be done now. Executions that have ended a short
   * while ago go only when they are in `cleared`.
   */
  step(
    limit: number,
    cleared?: Cleared,
  ): Promise<{ id: string; tenantId: string; completed: boolean; removed: Json } | undefined>;
}
