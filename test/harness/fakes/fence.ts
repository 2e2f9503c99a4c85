/**
 * The fence of `src/store/tasks/commit.ts` and its neighbours as pure rules over plain values: what each statement accepts, and
 * what it writes. A conformance test compares it with the real SQL, so that what is tried against it counts.
 */

import type { RunStatus, TaskStatus } from '../../../src/domain/runs/run-states.ts';
import type { RunFields, RunRow } from '../../../src/engine/ports/rows.ts';
import type { CommitResult, Outcome } from '../../../src/engine/ports/tasks.ts';
import type { Json } from '../../../src/schemas/json.ts';

export interface FakeRun extends RunFields {
  status: RunStatus;
  final: boolean;
  output: string | null;
  error: string | null;
  asleep?: true;
  sleepsUntil?: number | undefined;
  /** Its deadline has passed. */
  overdue?: true;
}
/** As the store reads it. */
export function rowOf(run: FakeRun): RunRow {
  return { ...run } as RunRow; // The fakes change both together, as the statements do.
}

export interface FakeTask {
  runId: string;
  actionId: string;
  actionType: string;
  epoch: number;
  attempt: number;
  endedAttempt: number;
  fence: number;
  deliveries: number;
  nextDelivery: number | null;
  status: TaskStatus;
  final: boolean;
  tolerated: boolean;
  effectUnknown: boolean;
  input: string | null;
  output: string | null;
  error: string | null;
  commitId: string | null;
  worker: string | null;
  wakeAt: Date | null;
  notBefore: Date | null;
  wakes: number;
  wakesSeen: number;
  parentId: string | null;
  position: number | null;
  item: Json;
  released: boolean;
  /** Which statement ended it: the order of ends. */
  finishedAt: number | null;
}
export interface FakeAttempt {
  runId: string;
  actionId: string;
  epoch: number;
  attempt: number;
  status: string;
}
export interface FakeEvent {
  runId: string;
  actionId: string | null;
  epoch: number;
  attempt: number | null;
  kind: string;
}

/** All that the database has of runs. */
export interface Truth {
  runs: Map<string, FakeRun>;
  /** By `taskKey`. */
  tasks: Map<string, FakeTask>;
  attempts: FakeAttempt[];
  events: FakeEvent[];
  lateEffects: (Outcome & { compensation: 'due' | 'started' | null })[];
  statements: number;
}

/** What can be switched off, to see that something notices. */
export interface FenceRules {
  /** Only a success may come from whoever does not have the token. */
  token: boolean;
  /** An attempt ends once, and what is final stays. */
  oneOutcome: boolean;
  /** An abnormal end leaves a final row for every action. */
  tombstones: boolean;
}
export const ALL_RULES: FenceRules = { token: true, oneOutcome: true, tombstones: true };

export function emptyTruth(): Truth {
  return { runs: new Map(), tasks: new Map(), attempts: [], events: [], lateEffects: [], statements: 0 };
}

export function taskKey(runId: string, actionId: string): string {
  return JSON.stringify([runId, actionId]);
}

export function tasksOf(truth: Truth, runId: string): FakeTask[] {
  return [...truth.tasks.values()].filter((task) => task.runId === runId);
}

export function accepts(
  run: FakeRun | undefined,
  task: FakeTask | undefined,
  outcome: Pick<Outcome, 'epoch' | 'attempt' | 'fence' | 'status'>,
  rules: FenceRules = ALL_RULES,
): boolean {
  if (run === undefined || run.epoch !== outcome.epoch || run.final) return false;
  if (task === undefined) return true;
  if (task.epoch !== outcome.epoch) return false;
  if (rules.oneOutcome && (task.final || outcome.attempt <= task.endedAttempt)) return false;
  return !rules.token || outcome.status === 'completed' || outcome.fence === task.fence;
}

function written(task: FakeTask | undefined, outcome: Outcome, statement: number): FakeTask {
  const { runId, actionId, actionType, epoch, attempt, fence, status, final, ended, tolerated, worker } = outcome;
  return {
    runId,
    actionId,
    actionType: task?.actionType ?? actionType,
    epoch,
    attempt: Math.max(task?.attempt ?? 0, attempt),
    endedAttempt: ended ? attempt : attempt - 1,
    fence: task?.fence ?? fence,
    deliveries: 1,
    nextDelivery: outcome.nextDelivery,
    status,
    final,
    tolerated,
    effectUnknown: task?.effectUnknown === true || outcome.effectUnknown,
    input: outcome.input ?? task?.input ?? null,
    output: outcome.output,
    error: outcome.error,
    commitId: outcome.commitId,
    worker,
    wakeAt: task?.wakeAt ?? outcome.wakeAt,
    notBefore: outcome.notBefore ?? null,
    wakes: task?.wakes ?? 0,
    wakesSeen: outcome.wakesSeen,
    parentId: task?.parentId ?? null,
    position: task?.position ?? null,
    item: task?.item ?? null,
    released: task?.released ?? false,
    finishedAt: final ? statement : null,
  };
}

/** The group commit. One answer per outcome, in order. */
export function commitBatch(truth: Truth, outcomes: readonly Outcome[], rules: FenceRules = ALL_RULES): CommitResult[] {
  truth.statements += 1;
  // What the statement sees: rows as they were when it started.
  const before = new Map(truth.tasks);
  const chosen = chooseOnePerTask(outcomes);
  const accepted = chosen.filter((outcome) => {
    const key = taskKey(outcome.runId, outcome.actionId);
    const run = truth.runs.get(outcome.runId);
    const task = before.get(key);
    if (!accepts(run, task, outcome, rules)) return false;
    truth.tasks.set(key, written(task, outcome, truth.statements));
    return true;
  });
  for (const outcome of accepted) {
    const { runId, actionId, epoch, attempt, status } = outcome;
    if (outcome.ended && outcome.startedMono !== null) {
      const recorded = truth.attempts.some(
        (a) => a.runId === runId && a.actionId === actionId && a.epoch === epoch && a.attempt === attempt,
      );
      const ended = status === 'retrying' ? 'failed' : status;
      if (!recorded) truth.attempts.push({ runId, actionId, epoch, attempt, status: ended });
    }
    truth.events.push({ runId, actionId, epoch, attempt, kind: `task.${status}` });
    const run = truth.runs.get(runId);
    if (run === undefined) continue;
    if (outcome.endsRun && outcome.final) {
      const earlier = firstFailure(
        [...before.values()].filter((task) => task.runId === runId && task.actionId !== actionId),
      );
      const own = status === 'failed' && !outcome.tolerated;
      endRun(
        truth,
        run,
        own || earlier !== undefined,
        outcome.runOutput,
        own ? outcome.error : (earlier?.error ?? null),
      );
    }
  }
  const lasting = new Set(
    chosen
      .filter((o) => accepted.includes(o) || before.get(taskKey(o.runId, o.actionId))?.commitId === o.commitId)
      .map(({ commitId }) => commitId),
  );
  return outcomes.map(({ commitId }) => (lasting.has(commitId) ? 'accepted' : 'rejected'));
}

function chooseOnePerTask(outcomes: readonly Outcome[]): Outcome[] {
  const chosen = new Map<string, Outcome>();
  const better = (a: Outcome, b: Outcome) =>
    Number(b.status === 'completed') - Number(a.status === 'completed') || b.fence - a.fence || b.attempt - a.attempt;
  for (const outcome of [...outcomes].sort(better)) {
    const key = taskKey(outcome.runId, outcome.actionId);
    if (!chosen.has(key)) chosen.set(key, outcome);
  }
  return [...chosen.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, outcome]) => outcome);
}

export function firstFailure(tasks: readonly FakeTask[]): FakeTask | undefined {
  return tasks
    .filter(({ status, tolerated }) => status === 'failed' && !tolerated)
    .sort((a, b) => (a.finishedAt ?? 0) - (b.finishedAt ?? 0))[0];
}

export function beginRun(run: FakeRun): void {
  if (!run.final && (run.status === 'pending' || run.status === 'queued')) run.status = 'running';
}

export function cancelledAs(run: FakeRun): 'timed_out' | 'cancelled' {
  return run.overdue === true ? 'timed_out' : 'cancelled';
}

export function endRun(truth: Truth, run: FakeRun, failed: boolean, output: string | null, error: string | null): void {
  if (run.final) return;
  run.final = true;
  run.status = run.status === 'cancelling' ? cancelledAs(run) : failed ? 'failed' : 'completed';
  run.output = run.status === 'completed' ? output : null;
  run.error = run.status === 'failed' ? error : null;
  truth.events.push({ runId: run.id, actionId: null, epoch: run.epoch, attempt: null, kind: `run.${run.status}` });
}
