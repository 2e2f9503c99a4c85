/**
 * A pause: the status of the run says so, and every delivery of one of its tasks checks that before it starts anything.
 * What finds its run paused goes back to sleep with a wake to come; adapters that run go on to their end. A resume sets
 * the status back and makes due what was deferred. Backoffs, waits and delays keep their times: what came due meanwhile was
 * deferred as well. It reaches the runs that tasks of the run wait for, and those below them (see `domain/runs/pause-reach.ts`).
 */
import { OrchestratorError } from '../../domain/errors.ts';
import { FINAL_RUN_STATUSES, type RunStatus } from '../../domain/runs/run-states.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Plans } from '../accept/plans.ts';
import type { Attempt } from '../deliver/attempt.ts';
import { waitingOutcome } from '../deliver/outcome.ts';
import { type SettleDeps, settle } from '../deliver/settle-task.ts';
import { promoteWoken, WAKE_TO_COME } from '../deliver/wake-tasks.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { Logger } from '../ports/logger.ts';
import type { Disposition, FlowQueue } from '../ports/queue.ts';
import type { RunStore } from '../ports/runs.ts';
import type { Caller, ChangedTogether, PauseRuns } from '../ports/use-cases.ts';

/** A pause has no end of its own: what was deferred is just checked now and then. */
const RECHECK_MS = 3_600_000;
/** Of the runs that go on together: looked up with one query. */
const WOKEN_AT_ONCE = 20;
/** The reconciler wakes the others: the request is answered in time, however large the tree. */
const WOKEN_BY_REQUEST = 400;

/** The run is paused. The resume that comes before the job is asleep is seen by reading again. */
export function deferWhilePaused(deps: SettleDeps, attempt: Attempt): Promise<Disposition> {
  const { run } = attempt;
  // What it has slept through already it does not sleep through again.
  const notBefore = attempt.found.tasks.get(attempt.planned.action.action_id)?.notBefore ?? undefined;
  const outcome = { ...waitingOutcome(deps, attempt, { wakeAt: null, notBefore }), wakesSeen: WAKE_TO_COME };
  return settle(deps, attempt, outcome, {
    job: 'delay',
    untilMs: deps.now() + RECHECK_MS,
    async dueAlready() {
      await deps.failpoint('park.afterMove');
      const now = await deps.tasks.lookup({ runId: run.id, actionIds: [outcome.actionId], outputsOf: [] });
      return now.run?.status !== 'paused';
    },
  });
}

/**
 * Each is one transaction over the run and all below it that goes with it, so no crash leaves some of them behind. A run
 * that is started below at that moment is seen by it, or sees it.
 */
export interface PauseStore {
  /** Undefined: no such run of this tenant. `changed`: false when it is in another status than those a pause may come in. */
  pause(run: RunOfCaller, reason: string | undefined): Promise<{ was: RunStatus; changed: boolean } | undefined>;
  resume(run: RunOfCaller, reason: string | undefined): Promise<Resumed | undefined>;
  /** Both do all of these in one transaction, but for those that are left to be done one by one. */
  pauseAll(runs: RunsOfCaller, reason: string | undefined): Promise<ChangedTogether>;
  resumeAll(runs: RunsOfCaller, reason: string | undefined): Promise<ChangedTogether & Pick<Resumed, 'goOn'>>;
}
export interface Resumed {
  was: RunStatus;
  changed: boolean;
  /** What it is now: still paused, while the one above it is. */
  status: RunStatus;
  /** All that goes on: itself, and those that were paused with it. */
  goOn: readonly string[];
  /** It goes on with this one above it, and by no resume of its own. */
  pausedWith?: string;
}
export interface RunOfCaller {
  runId: string;
  tenantId: string;
  by: string;
}
export type RunsOfCaller = Omit<RunOfCaller, 'runId'> & { runIds: readonly string[] };

export interface PauseDeps {
  plans: Plans;
  runs: Pick<RunStore, 'statusesOf'>;
  pauses: PauseStore;
  queue: Pick<FlowQueue, 'promote'>;
  failpoint: Failpoint;
  log: Logger;
}

export function createPauseRuns(deps: PauseDeps): PauseRuns {
  async function pauseRun(caller: Caller, runId: string, reason: string | undefined): Promise<RunStatus> {
    const done = await deps.pauses.pause({ runId, tenantId: caller.tenantId, by: caller.userId }, reason);
    if (done === undefined) throw new OrchestratorError('not_found', 'Execution not found');
    if (!done.changed) throw inWrongState(done.was, 'paused');
    return 'paused';
  }

  async function resumeRun(caller: Caller, runId: string, reason: string | undefined): Promise<RunStatus> {
    const done = await deps.pauses.resume({ runId, tenantId: caller.tenantId, by: caller.userId }, reason);
    if (done === undefined) throw new OrchestratorError('not_found', 'Execution not found');
    if (done.pausedWith !== undefined) {
      const above = done.pausedWith;
      throw new OrchestratorError(
        'conflict',
        `The execution is paused with ${above}, which waits for it: resume that one`,
      );
    }
    if (!done.changed) throw inWrongState(done.was, 'resumed');
    await wakeResumed(done.goOn);
    return done.status;
  }

  async function pauseRuns(caller: Caller, runIds: readonly string[], reason: string | undefined) {
    return deps.pauses.pauseAll({ runIds, tenantId: caller.tenantId, by: caller.userId }, reason);
  }

  async function resumeRuns(caller: Caller, runIds: readonly string[], reason: string | undefined) {
    const { goOn, ...done } = await deps.pauses.resumeAll(
      { runIds, tenantId: caller.tenantId, by: caller.userId },
      reason,
    );
    await wakeResumed(goOn);
    return done;
  }

  async function wakeResumed(goOn: readonly string[]): Promise<void> {
    await deps.failpoint('resume.afterStatus');
    const woken = goOn.slice(0, WOKEN_BY_REQUEST);
    for (let at = 0; at < woken.length; at += WOKEN_AT_ONCE) await wakeSome(woken.slice(at, at + WOKEN_AT_ONCE));
  }

  async function wakeSome(runIds: readonly string[]): Promise<void> {
    try {
      const found = await deps.runs.statusesOf(runIds);
      await Promise.all(
        [...found.values()].map(async (of) => {
          if (of.run !== undefined) await promoteWoken(deps, of.run, await deps.plans.of(of.run.of), of);
        }),
      );
    } catch (error) {
      // The reconciler checks these runs soon, and makes due what has a wake to come.
      const reason = errorMessage(error);
      deps.log.warn('resumed_runs_not_woken', { runs: runIds.length, first: runIds[0], error: reason });
    }
  }

  return { pauseRun, resumeRun, pauseRuns, resumeRuns };
}

function inWrongState(was: RunStatus, requested: 'paused' | 'resumed'): OrchestratorError {
  if (FINAL_RUN_STATUSES.includes(was)) {
    return new OrchestratorError('already_final', `The execution has already ended: ${was}`);
  }
  return new OrchestratorError('conflict', `The execution is ${was} and cannot be ${requested}`);
}
