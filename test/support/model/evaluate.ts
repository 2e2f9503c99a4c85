/**
 * What must become of a plot by the rules alone: a plain recursive evaluation that shares nothing with the engine. Written
 * from the contract; `model.test.ts` holds it to cases by hand.
 */
import type { Json } from '../../../src/schemas/json.ts';
import type { Behaviour, Expected, ExpectedTask, Plot, Step, TaskEnd, Work } from './forms.ts';
import { named, numberPath } from './naming.ts';

/** Who decides, and what they say. */
export const SOMEBODY = 'somebody';
export const COMMENT = 'as the plot says';

const NOBODY_ENDS_IT: Stuck = { status: 'stuck', child: undefined };
const PLAIN = { cached: false, parts: undefined, children: undefined, compensation: undefined };
const BROKEN_OFF = { cancellation: 'cancelled', deadline: 'timed_out' } as const;
export const UNDO_ATTEMPTS = 2;
/** Looking it up is one. */
const CACHED_ATTEMPTS = 1;

/** It ends only when somebody ends the run. */
interface Stuck {
  status: 'stuck';
  child: Expected | undefined;
}
type Settled = ExpectedTask | Stuck;

/** One run after the other, as often as the plot says. */
export function evaluateRounds(plot: Plot): Expected[] {
  const first = evaluate(plot);
  if (plot.rounds === 1) return [first];
  const kept = plot.steps.filter(({ id, cached }) => cached && first.tasks[id]?.status === 'completed');
  return [first, evaluate(plot, new Map(kept.map(({ id }) => [id, first.tasks[id]?.output ?? null])))];
}

/** `kept`: outputs that earlier runs have left, by action. */
export function evaluate(plot: Plot, kept: ReadonlyMap<string, Json> = new Map()): Expected {
  const settled = new Map<string, Settled>();
  const begun = new Set<string>();
  const settle = (id: string): Settled => {
    const known = settled.get(id);
    if (known !== undefined) return known;
    const step = stepOf(plot, id);
    const before = step.after.map((dependency) => [stepOf(plot, dependency), settle(dependency)] as const);
    const now = before.some(([, state]) => state.status === 'stuck')
      ? NOBODY_ENDS_IT
      : settleAfter(step, new Map(before.map(([one, state]) => [one.id, ended(state)])), plot, kept, begun);
    settled.set(id, now);
    return now;
  };
  for (const { id } of plot.steps) settle(id);

  const stuck = [...settled.values()].filter((state) => state.status === 'stuck');
  const isStuck = stuck.length > 0;
  const tasks = Object.fromEntries(plot.steps.map(({ id }) => [id, ended(settle(id))]));
  const hasFailed = plot.steps.some(({ id, onFailure }) => tasks[id]?.status === 'failed' && onFailure === 'fail');
  const brokenOff = isStuck ? plot.endedBy : undefined;
  const before = isStuck ? BROKEN_OFF[plot.endedBy] : hasFailed ? 'failed' : 'completed';
  const status = before === 'completed' ? before : (undo(plot, tasks) ?? before);
  return {
    status,
    brokenOff,
    output: status === 'completed' ? outputOfRun(plot, tasks) : null,
    tasks,
    begun,
    endByThemselves: [...settled.values()].filter((state) => state.status !== 'stuck').length,
    openChildren: stuck.reduce((sum, { child }) => sum + (child === undefined ? 0 : 1 + child.openChildren), 0),
  };
}

function ended(state: Settled): ExpectedTask {
  if (state.status !== 'stuck') return state;
  // A child is cancelled with the run that began it, whatever ended that.
  const { child } = state;
  const children =
    child === undefined ? undefined : [{ ...child, status: child.status === 'timed_out' ? 'cancelled' : child.status }];
  return { ...notBegun('cancelled'), children };
}

/** Adds what undoes the tasks that completed; undefined: there is nothing to undo. */
function undo(plot: Plot, tasks: Expected['tasks']): 'compensated' | 'compensation_failed' | undefined {
  const undoings: ExpectedTask[] = [];
  for (const { id, undone, work } of plot.steps) {
    const task = tasks[id];
    if (undone === undefined || task === undefined) continue;
    // Nobody knows what an action did that took too long; what the iterations of a loop did is done.
    const mayHaveHappened = task.status === 'failed' && (work.kind === 'overdue' || work.kind === 'loop');
    if (task.status !== 'completed' && !mayHaveHappened) continue;
    const undoes = numberPath(work) === undefined ? null : numberOf(plot, id, new Map([[id, task]]));
    const undoing = tried(undone, UNDO_ATTEMPTS, { undoes });
    const { status, output, attempts } = undoing;
    tasks[id] = { ...task, compensation: { status, output, attempts } };
    undoings.push(undoing);
  }
  if (undoings.length === 0) return undefined;
  return undoings.every(({ status }) => status === 'completed') ? 'compensated' : 'compensation_failed';
}

function notBegun(status: TaskEnd): ExpectedTask {
  return { ...PLAIN, status, output: null, attempts: 0 };
}

function settleAfter(
  step: Step,
  before: ReadonlyMap<string, ExpectedTask>,
  plot: Plot,
  kept: ReadonlyMap<string, Json>,
  begun: Set<string>,
): Settled {
  const instead = notRun(step, before, plot);
  if (instead !== undefined) return notBegun(instead);
  begun.add(step.id);
  const earlier = kept.get(step.id);
  if (earlier !== undefined)
    return { ...PLAIN, status: 'completed', output: earlier, attempts: CACHED_ATTEMPTS, cached: true };
  const from = named(step, plot).map((dependency) => numberOf(plot, dependency, before));
  return workOf(step, from);
}

/** What an action becomes without being run; undefined: it is run. */
function notRun(
  { after, runIf, when }: Step,
  before: ReadonlyMap<string, ExpectedTask>,
  plot: Plot,
): 'skipped' | 'upstream_failed' | undefined {
  const states = [...before].map(([id, { status }]) =>
    status === 'failed' && stepOf(plot, id).onFailure === 'continue' ? 'let_go' : status,
  );
  const some = (...of: string[]) => states.some((state) => of.includes(state));
  if (after.length > 0 && runIf === 'all_succeeded') {
    if (some('failed', 'upstream_failed', 'cancelled')) return 'upstream_failed';
    if (states.every((state) => state === 'skipped')) return 'skipped';
  }
  if (after.length > 0 && runIf === 'any_succeeded' && !some('completed')) {
    return states.every((state) => state === 'skipped') ? 'skipped' : 'upstream_failed';
  }
  if (when === undefined) return undefined;
  const holds =
    when.of === 'parameter'
      ? when.holds
      : (numberOf(plot, when.step, before) ?? Number.NEGATIVE_INFINITY) >= when.atLeast;
  return holds ? undefined : 'skipped';
}

function workOf({ work, maxAttempts }: Step, from: readonly (number | null)[]): Settled {
  switch (work.kind) {
    case 'echo':
      return tried(work.behave, maxAttempts, { n: work.n, from: [...from] });
    case 'call':
      return tried(work.behave, maxAttempts, { body: { n: work.n, from: [...from] } });
    case 'compute':
      return tried('succeed', maxAttempts, { n: work.n, from: [...from] });
    case 'wait':
      return work.ms === 'never' ? NOBODY_ENDS_IT : tried('succeed', maxAttempts, {});
    case 'by_hand':
      return work.as === 'skipped' ? notBegun('skipped') : byHand(work.n);
    case 'items':
      return fanOut(work, maxAttempts);
    case 'loop':
      return looped(work);
    case 'external':
      return tried(work.behave, maxAttempts, { n: work.n, from: [...from] });
    case 'signal':
      if (work.comes !== 'never') return completed({ n: work.n });
      return work.onTimeout === 'continue' ? completed(null) : failed();
    case 'approval':
      return approved(work);
    case 'child':
      return work.alone
        ? { ...completed({ status: 'pending', output: null }), children: [evaluate(work.plot)] }
        : childOf(work.plot, maxAttempts);
    case 'overdue':
      return tried('fail', maxAttempts, null);
  }
}

function byHand(n: number): ExpectedTask {
  return { ...PLAIN, status: 'completed', output: { n }, attempts: 0 };
}

function tried(behave: Behaviour, maxAttempts: number, output: Json): ExpectedTask {
  const needed = { succeed: 1, flaky: 2, fail: Number.POSITIVE_INFINITY }[behave];
  return needed <= maxAttempts ? completed(output, needed) : failed(maxAttempts);
}

function completed(output: Json, attempts = 1): ExpectedTask {
  return { ...PLAIN, status: 'completed', output, attempts };
}

/** Once, unless it is worth another try. */
function failed(attempts = 1): ExpectedTask {
  return { ...PLAIN, status: 'failed', output: null, attempts };
}

function fanOut({ items, onItemFailure }: Extract<Work, { kind: 'items' }>, maxAttempts: number): ExpectedTask {
  const each = items.map((behave, at) => tried(behave, maxAttempts, { n: at, at }));
  const parts = each.map(({ status, attempts }) => ({ status, attempts }));
  const isGivenUp = onItemFailure === 'fail' && each.some(({ status }) => status === 'failed');
  if (isGivenUp) return failed();
  return { ...completed(each.map(({ output }) => output)), parts };
}

function looped({ until, max }: Extract<Work, { kind: 'loop' }>): ExpectedTask {
  const parts = Array.from({ length: Math.min(until, max) }, () => ({ status: 'completed' as const, attempts: 1 }));
  return { ...(until <= max ? completed({ n: until }) : failed()), parts };
}

function approved({ decided, onTimeout, onReject }: Extract<Work, { kind: 'approval' }>): ExpectedTask {
  const [answer, by, comment] =
    decided === 'by_nobody' ? [ON_TIMEOUT[onTimeout], null, TOO_LATE] : [decided, SOMEBODY, COMMENT];
  if (answer === 'approved') return completed({ approved: true, by, comment });
  return answer === 'rejected' && onReject === 'continue' ? completed({ approved: false, by, comment }) : failed();
}
const TOO_LATE = 'nobody decided before the deadline';
const ON_TIMEOUT = { fail: 'nothing', approve: 'approved', reject: 'rejected', escalate: 'nothing' };

/** A child that did not complete is begun anew as often as the action is tried. */
function childOf(plot: Plot, maxAttempts: number): Settled {
  const child = evaluate(plot);
  if (child.brokenOff !== undefined) return { status: 'stuck', child };
  const own =
    child.status === 'completed' ? completed({ status: 'completed', output: child.output }) : failed(maxAttempts);
  return { ...own, children: Array.from({ length: own.attempts }, () => child) };
}

/** What a template or a condition reads of a dependency: null of one that gave nothing. */
function numberOf(plot: Plot, id: string, before: ReadonlyMap<string, ExpectedTask>): number | null {
  const path = numberPath(stepOf(plot, id).work);
  let value: Json | undefined = before.get(id)?.output;
  for (const key of path ?? []) value = (value as Record<string, Json> | null)?.[key]; // As the path says.
  return typeof value === 'number' ? value : null;
}

function outputOfRun(plot: Plot, tasks: Expected['tasks']): Json {
  const { steps, output } = plot;
  const outputOf = (id: string): Json => tasks[id]?.output ?? null;
  if (output !== 'of_the_last') return { picked: numberOf(plot, output.of, new Map(Object.entries(tasks))) };
  const depended = new Set(steps.flatMap(({ after }) => after));
  const last = steps.filter(({ id }) => !depended.has(id));
  return Object.fromEntries(last.map(({ id }) => [id, outputOf(id)]));
}

export function stepOf({ steps }: Plot, id: string): Step {
  const step = steps.find((one) => one.id === id);
  if (step === undefined) throw new Error(`no action ${id}`);
  return step;
}
