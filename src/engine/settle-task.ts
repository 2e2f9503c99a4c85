/**
 * The second half of a delivery: commit what became of the task, then release its dependents and say what becomes of
 * the job. What is refused belongs to somebody else and is left alone.
 */
import type { Decision } from '../domain/decide.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { maskOf } from '../domain/mask-secrets.ts';
import { endsRun, type Plan, type PlannedAction } from '../domain/plan.ts';
import { afterFailure } from '../domain/retry.ts';
import { isEffectUnknown } from '../domain/saga.ts';
import { makeStorable } from '../domain/storable.ts';
import type { JobData } from '../schemas/job.ts';
import { releaseDependents, releaseLeftover } from './acknowledge.ts';
import { type CacheDeps, keepCached } from './cache.ts';
import { childEnded } from './child-ended.ts';
import { type FinalizeDeps, finalizeRun } from './finalize-run.ts';
import { mayCommit } from './jobs-in-hand.ts';
import { errorText, type Held, messageOf, outcomeOf, plannedReturn, scopedRunOutput, toldBy } from './outcome.ts';
import type { PartEndedDeps } from './part-ended.ts';
import type { Disposition, ExecutionResult, Outcome, RunRow, TaskFailure, TaskStore } from './ports.ts';
import type { Stop } from './run-adapter.ts';
import type { EngineSpans } from './span-export.ts';

/** A task that waits without an end looks about itself now and then. */
const LOOK_AGAIN_MS = 24 * 3_600_000;
/** Twice as long for each delivery before, and up to twice that, so that those deferred together do not come back together. */
const DEFER_MS = 1_000;
const MOST_DOUBLINGS = 4;

export interface SettleDeps extends FinalizeDeps, CacheDeps, PartEndedDeps {
  tasks: Pick<TaskStore, 'lookup' | 'commit' | 'recordLateEffect' | 'wake'>;
  random(): number;
  /** For spans. */
  spans?: Pick<EngineSpans, 'settled'> | undefined;
}

const ENDED_MEANWHILE = 'the run was cancelled, or its deadline passed, while the task ran';

/** What the end of an execution means for the task: its outcome, and whether it is tried again. */
export async function conclude(
  deps: SettleDeps,
  held: Held,
  result: ExecutionResult | Stop,
  input: string | null,
  startedMono: number,
  secrets: string[],
): Promise<Disposition> {
  switch (result.result) {
    case 'output':
      return commitOutput(deps, held, result.output, input, startedMono, 1, secrets);
    case 'failure': {
      const { action } = held.planned;
      const after = afterFailure(action.retry, held.attempt, result.failure, deps.random());
      if (after.next === 'give_up') return commitFailure(deps, held, result.failure, input, startedMono, secrets);
      const error = errorText(held, result.failure, secrets);
      const outcome = outcomeOf(deps, held, {
        status: 'retrying',
        final: false,
        ended: true,
        input,
        startedMono,
        error,
        effectUnknown: isEffectUnknown(result.failure),
        notBefore: new Date(deps.now() + after.delayMs),
        toldBy: toldBy(deps),
        // The delivery of the next attempt is a planned one, whatever the queue has counted while this one slept.
        nextDelivery: held.delivery.attemptsStarted + 1,
      });
      return settle(deps, held, outcome, { job: 'retry', message: messageOf(error), delayMs: after.delayMs });
    }
    case 'sleep': {
      const { until } = result;
      const known = held.found.tasks.get(held.planned.action.action_id)?.wakeAt?.getTime();
      const outcome = plannedReturn(deps, held, {
        input,
        startedMono,
        wakeAt: until,
        notBefore: until,
        // One that came too early sleeps on until the time that is stored, which is the database's.
        toldBy: known === until.getTime() ? undefined : toldBy(deps),
      });
      return settle(deps, held, outcome, { job: 'delay', untilMs: until.getTime() });
    }
    case 'park':
      return park(deps, held, result.until, { input, startedMono });
    case 'deferred':
      return defer(deps, held);
    case 'shutdown': {
      const untilMs = deps.now();
      const outcome = plannedReturn(deps, held, {
        input,
        startedMono,
        wakeAt: null,
        notBefore: new Date(untilMs),
        toldBy: toldBy(deps),
        effectUnknown: result.begun,
      });
      return settle(deps, held, outcome, { job: 'delay', untilMs });
    }
    case 'cancelled': {
      const error = errorText(held, { code: 'cancelled', message: ENDED_MEANWHILE }, []);
      return settle(
        deps,
        held,
        outcomeOf(deps, held, {
          ...{ status: 'cancelled', final: true, ended: true, input, startedMono, error },
          effectUnknown: result.effectUnknown,
        }),
        {
          job: 'complete',
        },
      );
    }
  }
}

/** `times`: how much larger than the output of one action it may be. */
export async function commitOutput(
  deps: SettleDeps,
  held: Held,
  output: unknown,
  input: string | null,
  startedMono: number,
  times: number,
  secrets: string[] = [],
): Promise<Disposition> {
  const storable = makeStorable(output, {
    maxBytes: deps.maxOutputBytes * times,
    mask: secrets.length > 0 ? maskOf(secrets) : undefined,
  });
  if (!storable.ok) return commitFailure(deps, held, storable, input, startedMono, secrets);
  return commitSuccess(deps, held, storable.json, input, startedMono);
}

export function commitDecision(
  deps: SettleDeps,
  held: Held,
  decision: Decision & { next: 'end' },
): Promise<Disposition> {
  const error =
    decision.status === 'skipped' ? null : errorText(held, { code: decision.status, message: decision.reason }, []);
  const output = scopedRunOutput(deps, held, null);
  return settle(
    deps,
    held,
    outcomeOf(deps, held, { status: decision.status, final: true, ended: true, error, runOutput: output }),
    {
      job: 'complete',
    },
  );
}

export async function commitSuccess(
  deps: SettleDeps,
  held: Held,
  output: string,
  input: string | null,
  startedMono: number,
  cached?: true,
): Promise<Disposition> {
  const runOutput = scopedRunOutput(deps, held, output);
  const outcome = outcomeOf(deps, held, {
    status: 'completed',
    final: true,
    ended: true,
    input,
    startedMono,
    output,
    runOutput,
    cached,
  });
  try {
    return await settle(deps, held, outcome, { job: 'complete' });
  } catch (error) {
    if (!(error instanceof OrchestratorError) || error.code !== 'output_not_storable') throw error;
    deps.log.warn('output_refused_by_database', { run_id: held.run.id, action_id: outcome.actionId });
    return commitFailure(
      deps,
      held,
      { code: 'output_not_storable', message: 'the database refused the output' },
      null,
      startedMono,
      [],
    );
  }
}

export function commitFailure(
  deps: SettleDeps,
  held: Held,
  failure: TaskFailure,
  input: string | null,
  startedMono: number | null,
  secrets: string[],
): Promise<Disposition> {
  const error = errorText(held, failure, secrets);
  const tolerated = held.planned.action.on_failure === 'continue';
  const runOutput = tolerated ? scopedRunOutput(deps, held, null) : null;
  const outcome = outcomeOf(deps, held, {
    status: 'failed',
    final: true,
    ended: true,
    tolerated,
    input,
    startedMono,
    error,
    runOutput,
    effectUnknown: isEffectUnknown(failure),
  });
  return settle(deps, held, outcome, { job: 'fail', message: messageOf(error) });
}

/** Its tenant has more expressions waiting than their turns come: it comes again soon, in the same attempt. */
export function defer(deps: SettleDeps, held: Held): Promise<Disposition> {
  const { run, planned, found } = held;
  const { action_id: actionId } = planned.action;
  deps.log.info('expression_deferred', { run_id: run.id, action_id: actionId });
  // The time that an adapter was told stays: it goes on from there.
  const wakeAt = found.tasks.get(actionId)?.wakeAt ?? null;
  const { attemptsStarted, attemptsMade } = held.delivery;
  const doublings = Math.min(MOST_DOUBLINGS, Math.max(0, attemptsStarted - attemptsMade - 1));
  const untilMs = deps.now() + DEFER_MS * 2 ** doublings * (1 + deps.random());
  const notBefore = new Date(untilMs);
  const outcome = plannedReturn(deps, held, {
    input: null,
    startedMono: null,
    wakeAt,
    notBefore,
    toldBy: toldBy(deps),
  });
  return settle(deps, held, outcome, { job: 'delay', untilMs });
}

/**
 * The task waits for something outside. Whoever brings it about counts a wake and then makes the job due; when that
 * happened before the job was moved, it is seen by reading again.
 */
export function park(
  deps: SettleDeps,
  held: Held,
  until: Date | undefined,
  values: Pick<Outcome, 'input' | 'startedMono'>,
): Promise<Disposition> {
  const outcome = plannedReturn(deps, held, { ...values, wakeAt: until ?? null, notBefore: until });
  return settle(deps, held, outcome, {
    job: 'delay',
    untilMs: until?.getTime() ?? deps.now() + LOOK_AGAIN_MS,
    dueAlready: () => wasWoken(deps, outcome),
  });
}

/** Asked once the job is asleep: whether a wake has come since the delivery began. */
export async function wasWoken(
  deps: Pick<SettleDeps, 'tasks' | 'failpoint'>,
  { runId, actionId, wakesSeen }: Outcome,
): Promise<boolean> {
  await deps.failpoint('park.afterMove');
  const { tasks } = await deps.tasks.lookup({ runId, actionIds: [actionId], outputsOf: [] });
  return (tasks.get(actionId)?.wakes ?? 0) > wakesSeen;
}

/** Commits; what was accepted releases the dependents and ends the job, what was refused leaves it to whom it belongs. */
export async function settle(
  deps: SettleDeps,
  held: Held,
  outcome: Outcome,
  disposition: Disposition,
): Promise<Disposition> {
  const { plan, planned, run, delivery } = held;
  if (!mayCommit(outcome.status, delivery.trust)) {
    // Another worker may have the job by now. If it is still ours it stalls and is delivered again.
    deps.log.warn('outcome_left', { run_id: run.id, action_id: outcome.actionId, status: outcome.status });
    return { job: 'leave' };
  }
  if ((await deps.tasks.commit(outcome)) === 'accepted') {
    deps.spans?.settled(held, outcome);
    await keepCached(deps, held, outcome);
    // Whoever stood still since then cannot know that nobody else has added the next flow.
    const committed = delivery.trust.holds() ? outcome.status : undefined;
    if (outcome.final) await releaseDependents(deps, run, plan, planned, delivery.data.gen, committed);
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
    // A run that undoes what it did looks again.
    if (run.status === 'compensating') await deps.runs.nudge(run.id);
  }
  return acknowledgeOrLeave(deps, delivery.data, plan, planned);
}

export async function acknowledgeOrLeave(
  deps: SettleDeps,
  data: JobData,
  plan: Plan,
  planned: PlannedAction,
): Promise<Disposition> {
  const { action_id } = planned.action;
  const { run, tasks } = await deps.tasks.lookup({ runId: data.run_id, actionIds: [action_id], outputsOf: [] });
  if (run === undefined || run.epoch !== data.epoch) return releaseLeftover(deps, plan, planned, data);
  if (run.final || tasks.get(action_id)?.final === true) return acknowledge(deps, run, plan, planned, data);
  return { job: 'leave' };
}

/** A plain return, also for a failed task: its failure is known. */
export async function acknowledge(
  deps: SettleDeps,
  run: RunRow,
  plan: Plan,
  planned: PlannedAction,
  data: JobData,
): Promise<Disposition> {
  await releaseDependents(deps, run, plan, planned, data.gen, undefined);
  // The commit of the last action ends the run, unless it was settled by hand.
  if (!run.final && endsRun(plan, planned.index)) return finalizeRun(deps, plan, data);
  if (run.final) await childEnded(deps, run);
  return { job: 'complete' };
}
