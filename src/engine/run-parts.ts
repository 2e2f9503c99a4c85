/**
 * A task that has parts: a fan-out over a list, or a loop. Its own job writes the parts down, gives them to the queue and
 * sleeps; every part that ends gives the next one, or wakes it; then it judges them. All of its state is in the rows of
 * its parts, so any delivery of it goes on from what is there.
 */
import { queuedDelayMs, taskJobId } from '../domain/compile.ts';
import { type ForEach, MAX_ITEMS, type Repeat } from '../domain/definition.ts';
import { OrchestratorError } from '../domain/errors.ts';
import { partId } from '../domain/parts.ts';
import type { PlannedAction } from '../domain/plan.ts';
import { hasTemplate } from '../domain/template-syntax.ts';
import type { Json, JsonObject } from '../schemas/json.ts';
import { sleepsIn } from './add-again.ts';
import type { Held } from './outcome.ts';
import { addParts } from './part-ended.ts';
import type { Disposition, Expressions, TaskFailure } from './ports.ts';
import { resolveIn, type Scope } from './resolve-input.ts';
import { commitDecision, commitFailure, commitOutput, park, type SettleDeps } from './settle-task.ts';

export interface PartsDeps extends SettleDeps {
  expressions: Expressions;
}

const LOOK_SOON_MS = 1_000;
/** Jobs that are added in one go. */
const ADDED_AT_ONCE = 1_000;

/** The task is to run: on with its parts. `variables`: what an expression of it sees. */
export function runWhole(
  deps: PartsDeps,
  held: Held,
  scope: Scope,
  variables: Record<string, Json>,
): Promise<Disposition> {
  const { for_each: forEach, repeat } = held.planned.action;
  if (forEach !== undefined) return fanOut(deps, held, forEach, scope, variables);
  if (repeat !== undefined) return loop(deps, held, repeat, variables);
  throw new Error(`${held.planned.action.action_id} has no parts`);
}

/** The run is being cancelled: what has not begun never will, and the task ends after the last of its parts. */
export async function cancelWhole(deps: PartsDeps, held: Held, reason: string): Promise<Disposition> {
  const { run, planned } = held;
  const id = planned.action.action_id;
  await deps.parts.cancelUnreleased(run.id, id);
  const underWay = await deps.parts.released(run.id, id);
  if (underWay.length === 0 && (await deps.parts.summary(run.id, id, run.epoch)).happened > 0) held.mayHaveRun = true;
  if (underWay.length > 0) {
    // What the queue has lost of them would never end.
    await giveToQueue(deps, held, underWay, 0, true);
    return park(deps, held, undefined, NOTHING_BEGUN);
  }
  return commitDecision(deps, held, { next: 'end', status: 'cancelled', reason });
}

const NOTHING_BEGUN = { input: null, startedMono: null };

async function fanOut(
  deps: PartsDeps,
  held: Held,
  forEach: ForEach,
  scope: Scope,
  variables: Record<string, Json>,
): Promise<Disposition> {
  const { run, planned } = held;
  const id = planned.action.action_id;
  const startedMono = performance.now();
  const before = await deps.parts.summary(run.id, id, run.epoch);
  const isWritten = before.total > 0;
  if (!isWritten) {
    const items = await itemsOf(deps, held, forEach.items, scope, variables);
    if ('failure' in items) return commitFailure(deps, held, items.failure, null, startedMono, []);
    if (items.list.length === 0) return commitOutput(deps, held, [], null, startedMono, 1);
    const parts = items.list.map((item, position) => ({ id: partId(id, position), position, item }));
    await deps.parts.write(wholeOf(held), parts);
    await deps.failpoint('parts.afterWrite');
  }
  const giveUp = forEach.on_item_failure === 'fail' && before.failed > 0;
  if (giveUp) await deps.parts.cancelUnreleased(run.id, id);
  else await deps.parts.take(run.id, id, forEach.max_parallel ?? MAX_ITEMS);
  const underWay = await deps.parts.released(run.id, id);
  if (underWay.length > 0) {
    await giveToQueue(deps, held, underWay, 0, isWritten);
    return park(deps, held, undefined, { input: null, startedMono });
  }
  const { total, open, failed, happened, firstFailure } = await deps.parts.summary(run.id, id, run.epoch);
  // Somebody else is giving them to the queue at this moment.
  if (open > 0) return { job: 'delay', untilMs: deps.now() + LOOK_SOON_MS };
  if (forEach.on_item_failure === 'fail' && failed > 0) {
    const first =
      firstFailure === undefined ? '' : `: ${partId(id, firstFailure.position)} ${messageIn(firstFailure.error)}`;
    const message = `${failed} of ${total} items did not complete${first}`;
    const details = { total, not_completed: failed, first_failed: firstFailure?.position ?? null };
    return commitFailure(
      deps,
      held,
      { code: 'item_failed', message, details, effectUnknown: happened > 0 },
      null,
      startedMono,
      [],
    );
  }
  return commitOutput(deps, held, await deps.parts.outputs(run.id, id), null, startedMono, COLLECTED);
}

/** A collected output may be that many times as large as that of one action. */
const COLLECTED = 16;

async function itemsOf(
  deps: PartsDeps,
  held: Held,
  items: Json,
  scope: Scope,
  variables: Record<string, Json>,
): Promise<{ list: Json[] } | { failure: TaskFailure }> {
  let found: Json;
  try {
    const isCel = typeof items === 'string' && !hasTemplate(items);
    found = isCel ? await deps.expressions.evaluate(items, variables, held.run) : resolveIn(held.plan, scope, items);
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
  held: Held,
  repeat: Repeat,
  variables: Record<string, Json>,
): Promise<Disposition> {
  const { run, planned } = held;
  const id = planned.action.action_id;
  const startedMono = performance.now();
  const last = await deps.parts.last(run.id, id);
  if (last === undefined) return beginIteration(deps, held, 0, 0, startedMono);
  const delayMs = last.position === 0 ? 0 : queuedDelayMs(repeat.delay_seconds);
  if (!last.final) return goOn(deps, held, delayMs, startedMono, true);
  const iteration = last.position + 1;
  // Those of earlier epochs do not count: whoever retries a loop that had no more iterations gives it new ones.
  const { ended, happened } = await deps.parts.summary(run.id, id, run.epoch);
  // What iterations before it did is done.
  const effectUnknown = happened > 0;
  if (last.status !== 'completed') {
    const { code, message } = failureIn(last.error);
    const told = { code, message: `iteration ${iteration}: ${message}`, details: { iteration }, effectUnknown };
    return commitFailure(deps, held, told, null, startedMono, []);
  }
  try {
    const seen = { ...variables, [id]: last.output, output: last.output, iteration };
    const isDone = await deps.expressions.evaluate(repeat.until, seen, run);
    if (isDone === true) return await commitOutput(deps, held, last.output, null, startedMono, 1);
  } catch (error) {
    if (!(error instanceof OrchestratorError) || !error.code.startsWith('expression_')) throw error;
    const message = `repeat.until: ${error.message}`;
    const failure = { code: 'condition_failed', message, details: { iteration }, effectUnknown };
    return commitFailure(deps, held, failure, null, startedMono, []);
  }
  if (ended >= repeat.max_iterations) {
    const message = `repeat.until did not hold after ${iteration} iterations`;
    const failure = { code: 'repeat_exhausted', message, details: { iteration }, effectUnknown };
    return commitFailure(deps, held, failure, null, startedMono, []);
  }
  return beginIteration(deps, held, iteration, queuedDelayMs(repeat.delay_seconds), startedMono);
}

async function beginIteration(
  deps: PartsDeps,
  held: Held,
  position: number,
  delayMs: number,
  startedMono: number,
): Promise<Disposition> {
  const id = partId(held.planned.action.action_id, position);
  await deps.parts.write(wholeOf(held), [{ id, position, item: null }]);
  await deps.failpoint('parts.afterWrite');
  return goOn(deps, held, delayMs, startedMono, false);
}

async function goOn(
  deps: PartsDeps,
  held: Held,
  delayMs: number,
  startedMono: number,
  again: boolean,
): Promise<Disposition> {
  const { run, planned } = held;
  await deps.parts.take(run.id, planned.action.action_id, 1);
  const underWay = await deps.parts.released(run.id, planned.action.action_id);
  await giveToQueue(deps, held, underWay, delayMs, again);
  return park(deps, held, undefined, { input: null, startedMono });
}

/** `again`: some of them may be in the queue already, which keeps what it has; or lost there, or ended without an outcome. */
async function giveToQueue(
  deps: PartsDeps,
  { planned, run, delivery }: Held,
  positions: readonly number[],
  delayMs: number,
  again: boolean,
): Promise<void> {
  const gen = again ? await deps.sweep.raiseGen(run.id, run.epoch) : delivery.data.gen;
  if (gen === undefined) return;
  // Those that sleep until some time sleep on.
  const sleepsMs = again ? sleepsIn(await deps.runs.statuses(run.id), deps.now()) : undefined;
  for (let at = 0; at < positions.length; at += ADDED_AT_ONCE) {
    const some = positions.slice(at, at + ADDED_AT_ONCE);
    if (again) await deps.queue.removeEnded(some.map((position) => jobOf(planned, run, position)));
    const delayOf = (position: number) => sleepsMs?.(partId(planned.action.action_id, position)) ?? delayMs;
    await addParts(deps, planned, { ...run, gen }, some, delayOf);
    await deps.failpoint('parts.afterAdd');
  }
}

function jobOf({ action }: PlannedAction, run: { id: string; epoch: number }, position: number) {
  return { queue: action.action_type, jobId: taskJobId(run.id, run.epoch, partId(action.action_id, position)) };
}

function wholeOf({ run, planned }: Held) {
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
