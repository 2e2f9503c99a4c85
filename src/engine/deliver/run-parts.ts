/**
 * A parent task: a fan-out over the items of a list, or a loop with its iterations; both are its parts. Its own job stores
 * them, adds them to the queue and sleeps; every part that ends adds the next one, or wakes it; then it evaluates them. All
 * of its state is in the rows of its parts, so any delivery of it goes on from what is there.
 */

import type { ForEach, Repeat } from '../../domain/definition/definition.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { queuedDelayMs, taskJobId } from '../../domain/graph/compile.ts';
import type { PlannedAction } from '../../domain/graph/plan.ts';
import { itemId } from '../../domain/runs/parts.ts';
import { hasTemplate } from '../../domain/templates/template-syntax.ts';
import { MAX_ITEMS } from '../../schemas/definition.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { Expressions, TaskFailure } from '../ports/executor.ts';
import type { Disposition } from '../ports/queue.ts';
import { sleepsIn } from '../recover/add-again.ts';
import type { Attempt } from './attempt.ts';
import { addParts } from './part-ended.ts';
import { resolveIn, type Scope } from './resolve-input.ts';
import { commitDecision, commitFailure, commitOutput, park, type SettleDeps } from './settle-task.ts';

export interface PartsDeps extends SettleDeps {
  expressions: Expressions;
}

const RECHECK_SOON_MS = 1_000;
/** Jobs that are added in one go. */
const ADDED_AT_ONCE = 1_000;

/** What templates and expressions of the task see. */
interface Visible {
  scope: Scope;
  variables: Record<string, Json>;
}

/** The task is to run: on with its parts. */
export function runParent(deps: PartsDeps, attempt: Attempt, visible: Visible): Promise<Disposition> {
  const { for_each: forEach, repeat } = attempt.planned.action;
  const started = { ...attempt, startedMono: performance.now() };
  if (forEach !== undefined) return fanOut(deps, started, forEach, visible);
  if (repeat !== undefined) return loop(deps, started, repeat, visible.variables);
  throw new Error(`${attempt.planned.action.action_id} has no parts`);
}

/** The run is being cancelled: what has not started never will, and the task ends after the last of its parts. */
export async function cancelParent(deps: PartsDeps, attempt: Attempt, reason: string): Promise<Disposition> {
  const { run, planned } = attempt;
  const id = planned.action.action_id;
  await deps.parts.cancelUnreleased(run.id, id);
  const underWay = await deps.parts.released(run.id, id);
  if (underWay.length > 0) {
    // What the queue has lost of them would never end.
    await enqueueReleased(deps, attempt, { positions: underWay, delayMs: 0, again: true });
    return park(deps, attempt, undefined);
  }
  const { happened } = await deps.parts.summary(run.id, id, run.epoch);
  const ended: Attempt = happened > 0 ? { ...attempt, mayHaveRun: true } : attempt;
  return commitDecision(deps, ended, { next: 'end', status: 'cancelled', reason });
}

async function fanOut(deps: PartsDeps, attempt: Attempt, forEach: ForEach, visible: Visible): Promise<Disposition> {
  const { run, planned } = attempt;
  const id = planned.action.action_id;
  const before = await deps.parts.summary(run.id, id, run.epoch);
  const isWritten = before.total > 0;
  if (!isWritten) {
    const items = await itemsOf(deps, attempt, forEach.items, visible);
    if ('failure' in items) return commitFailure(deps, attempt, items.failure);
    if (items.list.length === 0) return commitOutput(deps, attempt, [], 1);
    const parts = items.list.map((item, position) => ({ id: itemId(id, position), position, item }));
    await deps.parts.write(parentOf(attempt), parts);
    await deps.failpoint('parts.afterWrite');
  }
  const giveUp = forEach.on_item_failure === 'fail' && before.failed > 0;
  if (giveUp) await deps.parts.cancelUnreleased(run.id, id);
  else await deps.parts.take(run.id, id, forEach.max_parallel ?? MAX_ITEMS);
  const underWay = await deps.parts.released(run.id, id);
  if (underWay.length > 0) {
    await enqueueReleased(deps, attempt, { positions: underWay, delayMs: 0, again: isWritten });
    return park(deps, attempt, undefined);
  }
  const { total, open, failed, happened, firstFailure } = await deps.parts.summary(run.id, id, run.epoch);
  // Somebody else is adding them to the queue at this moment.
  if (open > 0) return { job: 'delay', untilMs: deps.now() + RECHECK_SOON_MS };
  if (forEach.on_item_failure === 'fail' && failed > 0) {
    const first =
      firstFailure === undefined ? '' : `: ${itemId(id, firstFailure.position)} ${messageIn(firstFailure.error)}`;
    const message = `${failed} of ${total} items did not complete${first}`;
    const details = { total, not_completed: failed, first_failed: firstFailure?.position ?? null };
    return commitFailure(deps, attempt, { code: 'item_failed', message, details, effectUnknown: happened > 0 });
  }
  return commitOutput(deps, attempt, await deps.parts.outputs(run.id, id), COLLECTED);
}

/** A collected output may be that many times as large as that of one action. */
const COLLECTED = 16;

async function itemsOf(
  deps: PartsDeps,
  { run, plan }: Attempt,
  items: Json,
  { scope, variables }: Visible,
): Promise<{ list: Json[] } | { failure: TaskFailure }> {
  let found: Json;
  try {
    const isCel = typeof items === 'string' && !hasTemplate(items);
    found = isCel ? await deps.expressions.evaluate(items, variables, run) : resolveIn(plan, scope, items);
  } catch (error) {
    if (!(error instanceof OrchestratorError) || error.code === 'expressions_busy') throw error;
    return { failure: { code: error.code, message: `for_each.items: ${error.message}` } };
  }
  const invalid = (message: string) => ({ failure: { code: 'input_invalid', message: `for_each.items ${message}` } });
  if (!Array.isArray(found)) return invalid(`must give a list; it gave ${found === null ? 'null' : typeof found}`);
  if (found.length > MAX_ITEMS) {
    return invalid(`gave ${found.length} items; one run takes at most ${MAX_ITEMS}: divide the list over several runs`);
  }
  return { list: found };
}

async function loop(
  deps: PartsDeps,
  attempt: Attempt,
  repeat: Repeat,
  variables: Record<string, Json>,
): Promise<Disposition> {
  const { run, planned } = attempt;
  const id = planned.action.action_id;
  const last = await deps.parts.last(run.id, id);
  if (last === undefined) return startIteration(deps, attempt, 0, 0);
  const delayMs = last.position === 0 ? 0 : queuedDelayMs(repeat.delay_seconds);
  if (!last.final) return goOn(deps, attempt, delayMs, true);
  const iteration = last.position + 1;
  // Those of earlier epochs do not count: whoever retries a loop that had no more iterations gives it new ones.
  const { ended, happened } = await deps.parts.summary(run.id, id, run.epoch);
  // What iterations before it did is done.
  const effectUnknown = happened > 0;
  if (last.status !== 'completed') {
    const { code, message } = failureIn(last.error);
    const failure = { code, message: `iteration ${iteration}: ${message}`, details: { iteration }, effectUnknown };
    return commitFailure(deps, attempt, failure);
  }
  try {
    const seen = { ...variables, [id]: last.output, output: last.output, iteration };
    const isDone = await deps.expressions.evaluate(repeat.until, seen, run);
    if (isDone === true) return await commitOutput(deps, attempt, last.output, 1);
  } catch (error) {
    if (!(error instanceof OrchestratorError) || !error.code.startsWith('expression_')) throw error;
    const message = `repeat.until: ${error.message}`;
    const failure = { code: 'condition_failed', message, details: { iteration }, effectUnknown };
    return commitFailure(deps, attempt, failure);
  }
  if (ended >= repeat.max_iterations) {
    const message = `repeat.until did not hold after ${iteration} iterations`;
    const failure = { code: 'repeat_exhausted', message, details: { iteration }, effectUnknown };
    return commitFailure(deps, attempt, failure);
  }
  return startIteration(deps, attempt, iteration, queuedDelayMs(repeat.delay_seconds));
}

async function startIteration(
  deps: PartsDeps,
  attempt: Attempt,
  position: number,
  delayMs: number,
): Promise<Disposition> {
  const id = itemId(attempt.planned.action.action_id, position);
  await deps.parts.write(parentOf(attempt), [{ id, position, item: null }]);
  await deps.failpoint('parts.afterWrite');
  return goOn(deps, attempt, delayMs, false);
}

async function goOn(deps: PartsDeps, attempt: Attempt, delayMs: number, again: boolean): Promise<Disposition> {
  const { run, planned } = attempt;
  await deps.parts.take(run.id, planned.action.action_id, 1);
  const underWay = await deps.parts.released(run.id, planned.action.action_id);
  await enqueueReleased(deps, attempt, { positions: underWay, delayMs, again });
  return park(deps, attempt, undefined);
}

/** `again`: some of them may be in the queue already, where they stay; or lost there, or ended without an outcome. */
async function enqueueReleased(
  deps: PartsDeps,
  { planned, run, delivery }: Attempt,
  { positions, delayMs, again }: { positions: readonly number[]; delayMs: number; again: boolean },
): Promise<void> {
  const gen = again ? await deps.reconcile.raiseGen(run.id, run.epoch) : delivery.data.gen;
  if (gen === undefined) return;
  // Those that sleep until some time sleep on.
  const sleepsMs = again ? sleepsIn(await deps.runs.statuses(run.id), deps.now()) : undefined;
  for (let at = 0; at < positions.length; at += ADDED_AT_ONCE) {
    const some = positions.slice(at, at + ADDED_AT_ONCE);
    if (again) await deps.queue.removeEnded(some.map((position) => jobOf(planned, run, position)));
    const delayOf = (position: number) => sleepsMs?.(itemId(planned.action.action_id, position)) ?? delayMs;
    await addParts(deps, { ...run, gen }, { parent: planned, positions: some, delayMs: delayOf });
    await deps.failpoint('parts.afterAdd');
  }
}

function jobOf({ action }: PlannedAction, run: { id: string; epoch: number }, position: number) {
  return { queue: action.action_type, jobId: taskJobId(run.id, run.epoch, itemId(action.action_id, position)) };
}

function parentOf({ run, planned }: Attempt) {
  const { action_id: parentId, action_type: actionType } = planned.action;
  return { runId: run.id, tenantId: run.tenantId, epoch: run.epoch, parentId, actionType };
}

function failureIn(error: Json): { code: string; message: string } {
  const { code, message } = (typeof error === 'object' && error !== null ? error : {}) as JsonObject; // What errorText wrote.
  return { code: String(code ?? 'adapter_failed'), message: String(message ?? 'it did not complete') };
}

function messageIn(error: Json): string {
  const { code, message } = failureIn(error);
  return `${code}: ${message}`;
}
