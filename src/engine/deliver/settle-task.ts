/**
 * The second half of a delivery: commit what became of the task, then release its dependents and say what becomes of
 * the job. What is rejected belongs to somebody else and is left alone.
 */

import { OrchestratorError } from '../../domain/errors.ts';
import { endsRun } from '../../domain/graph/plan.ts';
import type { Decision } from '../../domain/runs/decide.ts';
import { afterFailure } from '../../domain/runs/retry.ts';
import { makeStorable } from '../../domain/runs/storable.ts';
import { maskOf } from '../../domain/texts/mask-secrets.ts';
import { childEnded } from '../children/child-ended.ts';
import type { ExecutionResult, TaskFailure } from '../ports/executor.ts';
import type { Disposition } from '../ports/queue.ts';
import type { Outcome, TaskStore } from '../ports/tasks.ts';
import type { EngineSpans } from '../tracing/span-export.ts';
import { releaseDependents, releaseStale } from './acknowledge.ts';
import { type Attempt, executedWith, type FoundTask, NOT_EXECUTED, type TaskJob } from './attempt.ts';
import { type CacheDeps, storeInCache } from './cache.ts';
import { type FinalizeDeps, finalizeRun } from './finalize-run.ts';
import { mayCommit } from './jobs-in-hand.ts';
import {
  cancelledOutcome,
  clockReading,
  completedOutcome,
  decidedOutcome,
  failedOutcome,
  messageOf,
  retryingOutcome,
  waitingOutcome,
} from './outcome.ts';
import type { PartEndedDeps } from './part-ended.ts';
import type { Stop } from './run-adapter.ts';

/** A task that waits without an end is delivered now and then. */
const RECHECK_MS = 24 * 3_600_000;
/** Twice as long for each delivery before, and up to twice that, so that those deferred together do not come back together. */
const DEFER_MS = 1_000;
const MOST_DOUBLINGS = 4;

export interface SettleDeps extends FinalizeDeps, CacheDeps, PartEndedDeps {
  tasks: Pick<TaskStore, 'lookup' | 'commit' | 'recordLateEffect' | 'wake'>;
  random(): number;
  /** For spans. */
  spans?: Pick<EngineSpans, 'settled'> | undefined;
}

/** What the end of an execution means for the task: its outcome, and whether it is tried again. */
export async function conclude(
  deps: SettleDeps,
  attempt: Attempt,
  result: ExecutionResult | Stop,
): Promise<Disposition> {
  switch (result.result) {
    case 'output':
      return commitOutput(deps, attempt, result.output, 1);
    case 'failure': {
      const { action } = attempt.planned;
      const after = afterFailure(action.retry, attempt.number, result.failure, deps.random());
      if (after.next === 'give_up') return commitFailure(deps, attempt, result.failure);
      const outcome = retryingOutcome(deps, attempt, result.failure, after.delayMs);
      return settle(deps, attempt, outcome, {
        job: 'retry',
        message: messageOf(outcome.error),
        delayMs: after.delayMs,
      });
    }
    case 'sleep': {
      const { until } = result;
      const storedMs = attempt.found.tasks.get(attempt.planned.action.action_id)?.wakeAt?.getTime();
      const outcome = waitingOutcome(deps, attempt, {
        wakeAt: until,
        notBefore: until,
        // One that came too early sleeps on until the time that is stored, which is the database's.
        clockReading: storedMs === until.getTime() ? undefined : clockReading(deps),
      });
      return settle(deps, attempt, outcome, { job: 'delay', untilMs: until.getTime() });
    }
    case 'park':
      return park(deps, attempt, result.until);
    case 'deferred':
      return defer(deps, executedWith(attempt, NOT_EXECUTED));
    case 'shutdown': {
      const untilMs = deps.now();
      const times = { wakeAt: null, notBefore: new Date(untilMs), clockReading: clockReading(deps) };
      const outcome = waitingOutcome(deps, attempt, times, result.started);
      return settle(deps, attempt, outcome, { job: 'delay', untilMs });
    }
    case 'cancelled':
      return settle(deps, attempt, cancelledOutcome(deps, attempt, result.effectUnknown), { job: 'complete' });
  }
}

/** `times`: how much larger than the output of one action it may be. */
export async function commitOutput(
  deps: SettleDeps,
  attempt: Attempt,
  output: unknown,
  times: number,
): Promise<Disposition> {
  const { secrets } = attempt;
  const storable = makeStorable(output, {
    maxBytes: deps.maxOutputBytes * times,
    mask: secrets.length > 0 ? maskOf(secrets) : undefined,
  });
  if (!storable.ok) return commitFailure(deps, attempt, storable);
  return commitSuccess(deps, attempt, storable.json);
}

export function commitDecision(
  deps: SettleDeps,
  attempt: Attempt,
  decision: Decision & { next: 'end' },
): Promise<Disposition> {
  return settle(deps, attempt, decidedOutcome(deps, attempt, decision), { job: 'complete' });
}

export async function commitSuccess(
  deps: SettleDeps,
  attempt: Attempt,
  output: string,
  cached?: true,
): Promise<Disposition> {
  const outcome = completedOutcome(deps, attempt, output, cached);
  try {
    return await settle(deps, attempt, outcome, { job: 'complete' });
  } catch (error) {
    if (!(error instanceof OrchestratorError) || error.code !== 'output_not_storable') throw error;
    deps.log.warn('output_refused_by_database', { run_id: attempt.run.id, action_id: outcome.actionId });
    const message = 'the database refused the output';
    // It may be the input as well.
    const withoutInput = { ...attempt, input: null, secrets: [] };
    return commitFailure(deps, withoutInput, { code: 'output_not_storable', message });
  }
}

export function commitFailure(deps: SettleDeps, attempt: Attempt, failure: TaskFailure): Promise<Disposition> {
  const outcome = failedOutcome(deps, attempt, failure);
  return settle(deps, attempt, outcome, { job: 'fail', message: messageOf(outcome.error) });
}

/** Its tenant has more expressions waiting than are evaluated in time: it comes again soon, in the same attempt. */
export function defer(deps: SettleDeps, attempt: Attempt): Promise<Disposition> {
  const { run, planned, found } = attempt;
  const { action_id: actionId } = planned.action;
  deps.log.info('expression_deferred', { run_id: run.id, action_id: actionId });
  // The time that an adapter has asked for stays: it goes on from there.
  const wakeAt = found.tasks.get(actionId)?.wakeAt ?? null;
  const { attemptsStarted, attemptsMade } = attempt.delivery;
  const doublings = Math.min(MOST_DOUBLINGS, Math.max(0, attemptsStarted - attemptsMade - 1));
  const untilMs = deps.now() + DEFER_MS * 2 ** doublings * (1 + deps.random());
  const notBefore = new Date(untilMs);
  const outcome = waitingOutcome(deps, attempt, { wakeAt, notBefore, clockReading: clockReading(deps) });
  return settle(deps, attempt, outcome, { job: 'delay', untilMs });
}

/**
 * The task waits for something outside. Whoever brings it about counts a wake and then makes the job due; when that
 * happened before the job was moved, it is seen by reading again.
 */
export function park(deps: SettleDeps, attempt: Attempt, until: Date | undefined): Promise<Disposition> {
  const outcome = waitingOutcome(deps, attempt, { wakeAt: until ?? null, notBefore: until });
  return settle(deps, attempt, outcome, {
    job: 'delay',
    untilMs: until?.getTime() ?? deps.now() + RECHECK_MS,
    dueAlready: () => wasWoken(deps, outcome),
  });
}

/** Called once the job is asleep: whether a wake has come since the delivery started. */
export async function wasWoken(
  deps: Pick<SettleDeps, 'tasks' | 'failpoint'>,
  { runId, actionId, wakesSeen }: Outcome,
): Promise<boolean> {
  await deps.failpoint('park.afterMove');
  const { tasks } = await deps.tasks.lookup({ runId, actionIds: [actionId], outputsOf: [] });
  return (tasks.get(actionId)?.wakes ?? 0) > wakesSeen;
}

/** Commits; what was accepted releases the dependents and ends the job, what was rejected leaves it to whom it belongs. */
export async function settle(
  deps: SettleDeps,
  attempt: Attempt,
  outcome: Outcome,
  disposition: Disposition,
): Promise<Disposition> {
  const { planned, run, delivery } = attempt;
  if (!mayCommit(outcome.status, delivery.trust)) {
    // Another worker may have the job by now. If it is still ours it stalls and is delivered again.
    deps.log.warn('outcome_left', { run_id: run.id, action_id: outcome.actionId, status: outcome.status });
    return { job: 'leave' };
  }
  if ((await deps.tasks.commit(outcome)) === 'accepted') {
    deps.spans?.settled(attempt, outcome);
    deps.onCommitted?.(run);
    await storeInCache(deps, attempt, outcome);
    // Whoever stood still since then cannot know that nobody else has added the next flow.
    const committed = delivery.trust.isTrusted() ? outcome.status : undefined;
    if (outcome.final) await releaseDependents(deps, attempt, committed);
    if (outcome.endsRun) await childEnded(deps, run);
    return disposition;
  }
  deps.log.warn('commit_refused', {
    run_id: run.id,
    action_id: outcome.actionId,
    attempt: outcome.attempt,
    status: outcome.status,
  });
  if (outcome.status === 'completed') {
    await deps.tasks.recordLateEffect(outcome, planned.action.compensate !== undefined);
    // A compensating run checks what it has to compensate again.
    if (run.status === 'compensating') await deps.runs.checkNow(run.id);
  }
  return acknowledgeOrLeave(deps, attempt);
}

export async function acknowledgeOrLeave(deps: SettleDeps, job: TaskJob): Promise<Disposition> {
  const { data } = job.delivery;
  const { action_id } = job.planned.action;
  const found = await deps.tasks.lookup({ runId: data.run_id, actionIds: [action_id], outputsOf: [] });
  const { run, tasks } = found;
  if (run === undefined || run.epoch !== data.epoch) return releaseStale(deps, job);
  if (run.final || tasks.get(action_id)?.final === true) return acknowledge(deps, { ...job, run, found });
  return { job: 'leave' };
}

/** A plain return, also for a failed task: its failure is known. */
export async function acknowledge(deps: SettleDeps, task: FoundTask): Promise<Disposition> {
  const { run, plan, planned, delivery } = task;
  await releaseDependents(deps, task, undefined);
  // The commit of the last action ends the run, unless it was settled manually.
  if (!run.final && endsRun(plan, planned.index)) return finalizeRun(deps, plan, delivery.data);
  if (run.final) await childEnded(deps, run);
  return { job: 'complete' };
}
