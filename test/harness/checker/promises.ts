/** What clients were told, held against what is committed: I1, I4 and I9. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { createFindings, groupBy, type TaskRecord } from './calls.ts';
import type { Violation } from './rules.ts';

/** What must have become of a run by the rules alone. */
export interface PlainResult {
  status: string;
  /** Somebody has to end it. */
  brokenOff?: boolean;
  /** By action. `attempts`: the fewest and the most that may be recorded. */
  tasks: Record<string, { status: string; output: unknown; attempts: { min: number; max: number } }>;
}

/** What is known of a run, and of those that it begins. */
export interface Foretold {
  expected: PlainResult;
  /** What of the output of an action counts: not what differs from call to call. */
  comparable(actionId: string, output: unknown): unknown;
  /** Of the runs that an action begins, and whether one goes on without it; undefined: it begins none. */
  childOf(actionId: string): (Foretold & { alone: boolean }) | undefined;
}

export interface Promised extends Foretold {
  idempotencyKey: string;
  /** The runs that answers of 202 named. */
  runIds: string[];
  /** Somebody asked for its cancellation. */
  cancelled: boolean;
  /** Somebody retried it by hand. */
  retried: boolean;
}

export interface RunRecord {
  id: string;
  idempotency_key: string | null;
  status: string;
  final: boolean;
  epoch: number;
  parent_run_id: string | null;
  parent_action_id: string | null;
}
export interface AttemptsOfTask {
  run_id: string;
  action_id: string;
  epoch: number;
  attempts: number;
}

/** What a run may be that somebody has cancelled; which of these is checked by the rules of the tables. */
const BROKEN_OFF: ReadonlySet<string> = new Set(['cancelled', 'compensated', 'compensation_failed']);

const UNDONE: ReadonlySet<string> = new Set(['compensated', 'compensation_failed']);

export function checkPromises(
  promised: readonly Promised[],
  runs: readonly RunRecord[],
  tasks: readonly TaskRecord[],
  attempts: readonly AttemptsOfTask[],
): Violation[] {
  const found = createFindings();
  const runById = new Map(runs.map((run) => [run.id, run]));
  const known = new Set(promised.map(({ idempotencyKey }) => idempotencyKey));
  const childrenOf = groupBy(runs, ({ parent_run_id: parent }) => parent ?? '');
  const tasksOf = groupBy(tasks, ({ run_id }) => run_id);
  const attemptsOf = new Map(
    attempts.map((one) => [`${one.run_id}.${one.epoch}.${one.action_id}`, one.attempts] as const),
  );

  for (const run of runs) {
    // A child is looked at with its parent.
    if (run.parent_run_id !== null && runById.has(run.parent_run_id)) continue;
    if (run.idempotency_key === null || !known.has(run.idempotency_key)) {
      found.add('I9', 'every run is one that somebody asked for', run);
    }
  }
  for (const { idempotencyKey, runIds, cancelled, retried, expected, comparable, childOf } of promised) {
    const ids = [...new Set(runIds)];
    if (ids.length > 1) found.add('I9', 'every answer to one key names the same run', { idempotencyKey, runs: ids });
    for (const id of ids) {
      const run = runById.get(id);
      if (run === undefined) {
        found.add('I1', 'every run that was answered with 202 is there', { id, idempotencyKey });
        continue;
      }
      if (run.idempotency_key !== idempotencyKey) {
        found.add('I9', 'a run has the key that it was asked for with', { ...run, idempotencyKey });
      }
      if (!run.final) {
        found.add('I1', 'every run that was answered with 202 ends', run);
        continue;
      }
      checkEnd(run, { cancelled, retried, expected, comparable, childOf });
    }
  }
  return found.all();

  /** Where a cancellation came too late, or only for some of the tasks, the rest is as if nobody had asked for it. */
  function checkEnd(run: RunRecord, told: Foretold & Pick<Promised, 'cancelled' | 'retried'>): void {
    const { cancelled, retried, expected, comparable, childOf } = told;
    // A fault may leave in the dark what a failed action has done; then that is undone, which plain failures are not.
    const isUnknown = (tasksOf.get(run.id) ?? []).some((task) => task.effect_unknown && task.status !== 'completed');
    const mayBeUndone = isUnknown && UNDONE.has(run.status) && expected.status !== 'completed';
    if (run.status !== expected.status && !mayBeUndone && !(cancelled && BROKEN_OFF.has(run.status))) {
      found.add('I4', 'a run ends as a plain evaluation of its graph', { ...run, expected: expected.status });
    }
    for (const task of tasksOf.get(run.id) ?? []) {
      if (cancelled && task.status === 'cancelled') continue;
      const plain = expected.tasks[task.action_id];
      const recorded = attemptsOf.get(`${run.id}.${task.epoch}.${task.action_id}`) ?? 0;
      const asPlain =
        plain !== undefined &&
        task.status === plain.status &&
        isDeepStrictEqual(comparable(task.action_id, task.output), plain.output) &&
        // A retry by hand begins to count anew, and keeps what completed.
        (retried || (recorded >= plain.attempts.min && recorded <= plain.attempts.max));
      if (asPlain) continue;
      const { run_id, action_id, epoch, status, output } = task;
      found.add('I4', 'a task ends as a plain evaluation of its graph', {
        ...{ run_id, action_id, epoch, status, output, attempts: recorded, expected: plain },
      });
    }
    for (const child of childrenOf.get(run.id) ?? []) {
      const childTold = childOf(child.parent_action_id ?? '');
      if (childTold === undefined) {
        found.add('I9', 'every run is one that somebody asked for', child);
      } else if (!child.final) {
        found.add('I1', 'what a run has begun has ended too', child);
      } else {
        // Whatever ends the parent from outside cancels the child that it waits for, and a retry of the parent goes on with it.
        const isBrokenOff = !childTold.alone && (cancelled || expected.brokenOff === true);
        checkEnd(child, { ...childTold, cancelled: isBrokenOff, retried });
      }
    }
  }
}
