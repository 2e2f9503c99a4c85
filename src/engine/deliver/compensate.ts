/**
 * The compensation of a run, before it ends. The finalizer stores the compensations in the statement that makes the run
 * `compensating`, adds those to the queue that may start, and sleeps; each of them wakes it when it ends, and after the last
 * one it ends the run. All of its state is in rows, so any delivery of it goes on from what is there.
 */

import { OrchestratorError } from '../../domain/errors.ts';
import { FINALIZER_QUEUE, finalizerJobId, taskJobId, taskNode } from '../../domain/graph/compile.ts';
import type { Plan, PlannedAction } from '../../domain/graph/plan.ts';
import { actionsToCompensate, compensationId, compensationOf, readyToCompensate } from '../../domain/runs/saga.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json } from '../../schemas/json.ts';
import { flowOfRun } from '../accept/flow-of-run.ts';
import type { Logger } from '../ports/logger.ts';
import type { Disposition, FlowQueue } from '../ports/queue.ts';
import type { Lookup, RunRow } from '../ports/rows.ts';
import type { RunStore } from '../ports/runs.ts';
import type { AddAgainDeps } from '../recover/add-again.ts';

export interface SagaStore {
  /** Stores the compensations, and the run is compensating. Does nothing for a run that is so already, or has ended. */
  start(
    run: { id: string; epoch: number },
    compensations: ReadonlyArray<{ actionId: string; actionType: string }>,
  ): Promise<void>;
  /** Marks compensations as added to the queue. */
  release(runId: string, actionIds: readonly string[]): Promise<void>;
  /** A run whose compensation failed goes on with what was not compensated, in a new epoch; undefined: somebody else was first. */
  reopen(
    run: { id: string; epoch: number },
    by: string,
    reason: string | undefined,
  ): Promise<{ run: RunRow; compensations: number } | undefined>;
  /** Stores compensations that were not known of when the compensation started. */
  extend(
    run: { id: string; epoch: number },
    compensations: ReadonlyArray<{ actionId: string; actionType: string }>,
  ): Promise<void>;
  /** Runs that have ended, and of which something was found afterwards that has to be compensated. */
  takeLate(limit: number): Promise<Array<{ id: string; epoch: number; of: DefinitionRef }>>;
  /**
   * Such a run is compensating again, in a new epoch, with what was not compensated, or was so before it was known to have
   * happened. False: nothing has to be compensated.
   */
  reopenForLate(
    run: { id: string; epoch: number },
    compensations: ReadonlyArray<{ actionId: string; actionType: string }>,
  ): Promise<boolean>;
  /** Somebody outside has, or had, this external task. */
  wasLeased(runId: string, actionId: string, epoch: number): Promise<boolean>;
  /** Of an action that did not complete and succeeded all the same. */
  lateOutput(runId: string, actionId: string, epoch: number): Promise<{ output: Json } | undefined>;
  /** Ends a run whose compensations are all final. */
  end(run: { id: string; epoch: number }): Promise<void>;
}

export interface CompensateDeps extends AddAgainDeps {
  runs: AddAgainDeps['runs'] & Pick<RunStore, 'statuses'>;
  sagas: SagaStore;
  now(): number;
  log: Logger;
}

/** A compensation that could not wake it is seen then, and so is one that the queue has lost. */
const RECHECK_MS = 10_000;

/** A run whose actions are all final, and the add generation of its finalizer. */
interface EndingRun {
  plan: Plan;
  run: RunRow;
  found: Lookup;
  gen: number;
}

/** Undefined: nothing has to be compensated. */
export async function compensate(deps: CompensateDeps, ending: EndingRun): Promise<Disposition | undefined> {
  const { plan, run, found } = ending;
  const toCompensate = actionsToCompensate(plan, (actionId) => found.tasks.get(actionId));
  if (run.status !== 'compensating') {
    const hasFailed = [...found.tasks.values()].some(({ status, tolerated }) => status === 'failed' && !tolerated);
    if (toCompensate.length === 0 || !(hasFailed || run.status === 'cancelling')) return undefined;
    await deps.sagas.start(run, compensationsOf(toCompensate));
    await deps.failpoint('saga.afterBegin');
  } else {
    // A late success, of which nobody knew at the start.
    const unknown = toCompensate.filter(({ action }) => !found.tasks.has(compensationId(action.action_id)));
    if (unknown.length > 0) await deps.sagas.extend(run, compensationsOf(unknown));
  }
  const { tasks } = await deps.runs.statuses(run.id);
  const isOver = isOverIn(tasks);
  if (toCompensate.every(({ action }) => isOver(action.action_id))) {
    await deps.sagas.end(run);
    await deps.failpoint('finalize.afterCommit');
    return { job: 'complete' };
  }
  await enqueueReady(deps, ending, readyToCompensate(plan, toCompensate, isOver), tasks);
  const seen = overCount(toCompensate, isOver);
  return {
    job: 'delay',
    untilMs: deps.now() + RECHECK_MS,
    async dueAlready() {
      const later = await deps.runs.statuses(run.id);
      return overCount(toCompensate, isOverIn(later.tasks)) > seen;
    },
  };
}

export function compensationsOf(toCompensate: readonly PlannedAction[]): { actionId: string; actionType: string }[] {
  return toCompensate.flatMap(({ action }) =>
    action.compensate === undefined
      ? []
      : [{ actionId: compensationId(action.action_id), actionType: action.compensate.action_type }],
  );
}

function isOverIn(tasks: Lookup['tasks']): (actionId: string) => boolean {
  return (actionId) => tasks.get(compensationId(actionId))?.final === true;
}

function overCount(toCompensate: readonly PlannedAction[], isOver: (actionId: string) => boolean): number {
  return toCompensate.filter(({ action }) => isOver(action.action_id)).length;
}

/** Those that were added before may be there, or lost, or ended there without an outcome: they get a new add generation. */
async function enqueueReady(
  deps: CompensateDeps,
  { plan, run, gen }: EndingRun,
  ready: readonly PlannedAction[],
  tasks: Lookup['tasks'],
): Promise<void> {
  const compensations = ready.flatMap(({ action }) => compensationOf(plan, compensationId(action.action_id)) ?? []);
  const wasReleased = ({ action }: PlannedAction) => tasks.get(action.action_id)?.released === true;
  const fresh = compensations.filter((planned) => !wasReleased(planned));
  const released = compensations.filter(wasReleased);
  await deps.sagas.release(
    run.id,
    fresh.map(({ action }) => action.action_id),
  );
  const add = async (some: readonly PlannedAction[], newGen: number) => {
    const flow = flowOfRun(run, newGen, deps.now());
    await deps.queue.add(some.map((planned) => [taskNode(planned, flow, 0, [])]));
  };
  if (fresh.length > 0) await add(fresh, gen);
  if (released.length === 0) return;
  const newGen = await deps.reconcile.raiseGen(run.id, run.epoch);
  if (newGen === undefined) return;
  const jobs = released.map(({ action }) => ({
    queue: action.action_type,
    jobId: taskJobId(run.id, run.epoch, action.action_id),
  }));
  await deps.queue.removeEnded(jobs);
  await add(released, newGen);
}

/** Wakes the finalizer; when that fails it checks again by itself. */
export async function compensationEnded(
  { queue, log }: { queue: Pick<FlowQueue, 'promote'>; log: Logger },
  run: { id: string; epoch: number },
): Promise<void> {
  try {
    await queue.promote([{ queue: FINALIZER_QUEUE, jobId: finalizerJobId(run.id, run.epoch) }]);
  } catch (error) {
    const reason = errorMessage(error);
    log.warn('finalizer_not_promoted', { run_id: run.id, error: reason });
  }
}

/** A compensation cannot be stopped half way. */
export function rejectWhileCompensating(status: string): void {
  if (status !== 'compensating') return;
  throw new OrchestratorError('already_final', 'The execution is undoing what it did; that is not stopped half way');
}
