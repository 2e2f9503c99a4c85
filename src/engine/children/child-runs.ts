/**
 * The runs that a task starts (action type `workflow`). They go through the same acceptance as everybody's; which run
 * serves an attempt is decided once that has passed, so a delivery that comes again finds what the one before started.
 */

import { isSame, rejectDescent, whichChild } from '../../domain/definition/sub-workflows.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { type AcceptDeps, createAcceptRuns } from '../accept/accept-run.ts';
import type { Admission } from '../accept/admit.ts';
import { RETRYABLE_STATUSES, reopen } from '../control/retry-run.ts';
import type { ChildRun, ChildStore } from '../ports/children.ts';
import type { RunRow } from '../ports/rows.ts';
import type { ParentTask, RetryStore, RunStore, StoredRun } from '../ports/runs.ts';
import type { Caller } from '../ports/use-cases.ts';

export interface ChildRunDeps extends Omit<AcceptDeps, 'runs' | 'admission'> {
  runs: Pick<RunStore, 'statuses'>;
  children: Pick<ChildStore, 'find' | 'lineage' | 'insert' | 'adopt'>;
  retries: RetryStore;
  /** The way into the queue of runs that have so many above them. */
  admissionAt(depth: number): Admission;
  maxDepth: number;
  newTraceId(): string;
}

/** The child run that an adapter requests. */
export interface ChildRunRequest {
  by: 'workflow_id' | 'name';
  named: string;
  version: number | undefined;
  parameters: JsonObject;
  /** The task waits for its end, and they are cancelled together. */
  awaited: boolean;
}

export interface ChildRunsOfTask {
  /**
   * The run of this attempt as it is now: started, retried, or found. Undefined: the run of the task starts nothing any
   * more. Throws what the acceptance says, with all faults in its message.
   */
  start(request: ChildRunRequest): Promise<ChildRun | undefined>;
}

export function childRunsOf(deps: ChildRunDeps, run: RunRow, actionId: string, attempt: number): ChildRunsOfTask {
  const task: ParentTask = { runId: run.id, epoch: run.epoch, actionId, attempt };
  return {
    async start(request) {
      const before = await deps.children.find(task);
      if (isSame(before, task)) return before;
      const id = await accept(deps, run, task, request).catch((error: unknown) => {
        throw error instanceof OrchestratorError ? withAllFaults(error) : error;
      });
      const child = id === undefined ? undefined : await deps.children.find(task);
      return child?.id === id ? child : undefined;
    },
  };
}

/** The id of the run that serves the attempt. */
async function accept(
  deps: ChildRunDeps,
  run: RunRow,
  task: ParentTask,
  request: ChildRunRequest,
): Promise<string | undefined> {
  const caller: Caller = {
    tenantId: run.tenantId,
    userId: run.userId,
    correlationId: run.correlationId ?? undefined,
    traceId: run.traceId ?? deps.newTraceId(),
    // Sampled, or not, as that one: it belongs to its trace.
    parentSpanId: run.parentSpan ?? undefined,
  };
  const workflowId = request.by === 'workflow_id' ? request.named : await idOf(deps, caller, request);
  const lineage = await deps.children.lineage(run.id, deps.maxDepth + 1);
  const rejected = rejectDescent(lineage, workflowId, deps.maxDepth);
  if (rejected !== undefined) throw new OrchestratorError(rejected.code, rejected.message);
  const parentTask = { ...task, awaited: request.awaited, depth: (lineage[0]?.depth ?? 0) + 1 };
  let nothingStarts = false;
  const acceptance = createAcceptRuns({
    ...deps,
    admission: deps.admissionAt(parentTask.depth),
    runs: {
      async accept(prepared): Promise<StoredRun> {
        const found = await deps.children.find(task);
        const { version } = request;
        const { parameters } = prepared;
        const requested = { ...task, awaited: request.awaited, workflowId, version, parameters };
        const which = whichChild(found, requested, RETRYABLE_STATUSES);
        if (found !== undefined && which !== 'new') {
          if (which === 'retry') nothingStarts = !(await goOn(deps, caller, found, task));
          if (which === 'adopt') await deps.children.adopt(found.id, task);
          const { id, status } = found;
          return { id, status, createdAt: run.createdAt, requestHash: null, of: prepared.of, inserted: false };
        }
        // What a key of the workflow's own would make one of two runs of does not concern it: its task is its identity.
        const stored = await deps.children.insert({ ...prepared, dedupe: undefined }, parentTask);
        nothingStarts = stored === undefined;
        return stored ?? notStarted(prepared.id, prepared.of, run);
      },
    },
  });
  const { id } = await acceptance.executeWorkflow(caller, workflowId, {
    parameters: request.parameters,
    version: request.version,
    priority: run.priority,
    strict: false,
  });
  return nothingStarts ? undefined : id;
}

async function idOf(deps: ChildRunDeps, caller: Caller, { named, version }: ChildRunRequest): Promise<string> {
  const found = await deps.workflows.resolve(caller.tenantId, named, version);
  if (found === undefined)
    throw new OrchestratorError('not_found', `Workflow not found: there is none named '${named}'`);
  return found.id;
}

/**
 * The run goes on as by a manual retry, in the transaction that makes it this attempt's; the dispatcher adds it. False:
 * the run of the task starts nothing any more, or somebody else retries the child at this moment, and then it is checked
 * again.
 */
async function goOn(deps: ChildRunDeps, caller: Caller, child: ChildRun, task: ParentTask): Promise<boolean> {
  const found = await deps.runs.statuses(child.id);
  const retries: RetryStore = { reopen: (retry) => deps.retries.reopen({ ...retry, childOf: task }) };
  return (await reopen({ plans: deps.plans, retries }, caller, found, { afterSeconds: 0 })) !== undefined;
}

function notStarted(id: string, of: StoredRun['of'], { createdAt }: RunRow): StoredRun {
  return { id, status: 'cancelled', createdAt, requestHash: null, of, inserted: false };
}

/** A task has one message and no list of faults. */
function withAllFaults(error: OrchestratorError): OrchestratorError {
  if (error.errors.length === 0) return error;
  const faults = error.errors.map(({ path, message }) => `${path}: ${message}`);
  return new OrchestratorError(error.code, `${error.message}: ${faults.join('; ')}`, {
    errors: error.errors,
    cause: error,
  });
}
