/** What must hold after every step of a simulated world, by the names that the invariants have everywhere. */
import { actionAt, GATE_QUEUE } from '../../../src/domain/graph/compile.ts';
import type { Plan } from '../../../src/domain/graph/plan.ts';
import { FINAL_RUN_STATUSES } from '../../../src/domain/runs/run-states.ts';
import { type FakeRun, type FakeTask, tasksOf } from '../fakes/fence.ts';
import type { FakeJob } from '../fakes/queue.ts';
import { RUN_ID, type World } from './world.ts';

const TASK_ENDS = new Set(['task.completed', 'task.failed', 'task.skipped', 'task.cancelled', 'task.upstream_failed']);
const RUN_ENDS = new Set(FINAL_RUN_STATUSES.map((status) => `run.${status}`));

/** Gives what is broken, if anything is. It remembers what it has seen, so it is called after every step. */
export type Watch = () => string | undefined;

export function watchOver(world: World, plan: Plan, maxAttempts: number): Watch {
  const { truth } = world.store;
  const ends = new Map<string, number>();
  let eventsSeen = 0;
  let executionsSeen = 0;
  let attemptsSeen = 0;
  /** The end of each action in each epoch. */
  const seen = new Map<string, string>();

  function outcomesAreFinal(): string | undefined {
    for (; eventsSeen < truth.events.length; eventsSeen += 1) {
      const event = truth.events[eventsSeen];
      if (event === undefined || !(TASK_ENDS.has(event.kind) || RUN_ENDS.has(event.kind))) continue;
      const key = `${event.actionId ?? 'the run'} in epoch ${event.epoch}`;
      ends.set(key, (ends.get(key) ?? 0) + 1);
      if (ends.get(key) !== 1) return `${key} ended ${ends.get(key)} times`;
    }
    for (const { actionId, epoch, final, status, output } of truth.tasks.values()) {
      const key = `${actionId} in epoch ${epoch}`;
      const before = seen.get(key);
      const now = final ? `${status} ${output}` : 'open';
      if (before !== undefined && before !== now) return `${key} was ${before} and is ${now}`;
      if (final && before === undefined) seen.set(key, now);
    }
    const outdated = world.outdated[0];
    return outdated === undefined ? undefined : `an outcome of an old holder counted: ${outdated}`;
  }

  function dependenciesComeFirst(): string | undefined {
    for (; executionsSeen < world.executed.length; executionsSeen += 1) {
      const execution = world.executed[executionsSeen];
      if (execution === undefined) continue;
      const { actionId, open, wasFinal } = execution;
      if (open.length > 0) return `I3: ${actionId} began before ${open.join(', ')} was final`;
      if (wasFinal) return `I6: ${actionId} was executed again although its outcome was committed`;
    }
    return undefined;
  }

  return () => {
    const changed = outcomesAreFinal();
    if (changed !== undefined) return `I2: ${changed}`;
    const early = dependenciesComeFirst();
    if (early !== undefined) return early;
    const run = truth.runs.get(RUN_ID);
    const incomplete = run?.final === true ? endIsWhole(run, tasksOf(truth, RUN_ID), plan) : undefined;
    if (incomplete !== undefined) return `I4: ${incomplete}`;
    const blocked = isQuiet(world) && !world.interrupted ? blockedByFinal(world, plan) : undefined;
    if (blocked !== undefined) return `I5: ${blocked}`;
    for (; attemptsSeen < truth.attempts.length; attemptsSeen += 1) {
      const attempt = truth.attempts[attemptsSeen];
      if (attempt !== undefined && attempt.attempt > maxAttempts)
        return `I10: ${attempt.actionId} was tried ${attempt.attempt} times`;
    }
    return world.unexpected.length > 0 ? `unexpected: ${String(world.unexpected[0])}` : undefined;
  };
}

/** A final run has a final row for every action, and its end and output are what these rows say. */
function endIsWhole(run: FakeRun, tasks: readonly FakeTask[], plan: Plan): string | undefined {
  const rows = new Map(tasks.map((task) => [task.actionId, task]));
  const open = plan.actions.filter(({ action }) => rows.get(action.action_id)?.final !== true);
  if (open.length > 0) {
    return `the run is ${run.status} and ${open.map(({ action }) => action.action_id).join(', ')} is not final`;
  }
  const failed = tasks.some(({ status, tolerated }) => status === 'failed' && !tolerated);
  if (run.status === 'completed' && failed) return 'the run completed although a task failed';
  if (run.status === 'failed' && !failed) return 'the run failed although no task did';
  if (run.status !== 'completed') return run.output === null ? undefined : `the run is ${run.status} with an output`;
  const outputs = plan.sinks.map((sink) => {
    const id = actionAt(plan, sink).action.action_id;
    const row = rows.get(id);
    return [id, row?.status === 'completed' ? JSON.parse(row.output ?? 'null') : null];
  });
  const expected = JSON.stringify(Object.fromEntries(outputs));
  return run.output === expected ? undefined : `the output of the run is ${run.output} instead of ${expected}`;
}

/** Nothing is under way and nothing could be taken. */
export function isQuiet(world: World): boolean {
  return (
    world.chains.size === 0 && world.queue.jobs().every(({ state, queue }) => queue === GATE_QUEUE || isHeld(state))
  );
}

function isHeld(state: FakeJob['state']): boolean {
  return state === 'waiting-children' || state === 'completed' || state === 'failed';
}

/** A gate whose source is final blocks its dependent for ever. */
function blockedByFinal(world: World, plan: Plan): string | undefined {
  const run = world.store.truth.runs.get(RUN_ID);
  for (const job of world.queue.jobs()) {
    if (job.queue !== GATE_QUEUE) continue;
    const [runId = '', epoch = '', from = ''] = job.jobId.split('.');
    if (runId !== RUN_ID || !plan.byId.has(from)) return `${job.jobId} is nobody's gate`;
    const source = world.store.task(RUN_ID, from);
    if (source?.final === true || run?.final === true || Number(epoch) !== run?.epoch)
      return `the gate ${job.jobId} is there although its source is final`;
  }
  return undefined;
}

/** What should not be there once every run is final. */
export function leftInQueue(world: World): string[] {
  return world.queue.open().map(({ jobId, state }) => `${jobId} (${state})`);
}
