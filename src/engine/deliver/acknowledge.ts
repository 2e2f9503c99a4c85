/**
 * What follows once a task is final, however it ended: its gates go, the next flow is added, and only then does the job
 * end in BullMQ. A crash in between is survived, because a job whose task is final is only acknowledged.
 */
import { compileSegment, gatesOf } from '../../domain/graph/compile.ts';
import type { TaskStatus } from '../../domain/runs/run-states.ts';
import { flowOfRun } from '../accept/flow-of-run.ts';
import type { Disposition } from '../ports/queue.ts';
import { type AddAgainDeps, addAgain } from '../recover/add-again.ts';
import { tracedAdd } from '../tracing/span-export.ts';
import type { FoundTask, TaskJob } from './attempt.ts';
import { compensationEnded } from './compensate.ts';
import { type PartEndedDeps, partEnded } from './part-ended.ts';

export interface ReleaseDeps extends AddAgainDeps, PartEndedDeps {}

/** `committed`: the status that this very delivery committed, so that nobody can have added the next flow yet. */
export async function releaseDependents(
  deps: ReleaseDeps,
  task: FoundTask,
  committed: TaskStatus | undefined,
): Promise<void> {
  const { run, plan, planned, delivery } = task;
  if (planned.item !== undefined) return partEnded(deps, task, planned.item, committed);
  if (planned.compensates !== undefined) return compensationEnded(deps, run);
  await deps.queue.removeGates(gatesOf(plan, planned, run.id, run.epoch));
  const next = plan.nextSegment(planned.index);
  if (next === undefined) return;
  if (committed === undefined) {
    if (!run.final) await addAgain(deps, run);
    return;
  }
  const flow = flowOfRun(run, delivery.data.gen, deps.now());
  await deps.queue.add([compileSegment(plan, next, flow)], [tracedAdd(run, delivery.data.gen, next)]);
}

/** A job of an epoch that is over, or of a run that is gone: it blocks what is as old as itself, and nothing else. */
export async function releaseStale(
  deps: Pick<AddAgainDeps, 'queue'>,
  { plan, planned, delivery: { data } }: TaskJob,
): Promise<Disposition> {
  await deps.queue.removeGates(gatesOf(plan, planned, data.run_id, data.epoch));
  return { job: 'complete' };
}
