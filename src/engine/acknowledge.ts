/**
 * What follows once a task is final, however it ended: its gates go, the next flow is added, and only then does the job
 * end in BullMQ. A crash in between is survived, because a job whose task is final is only acknowledged.
 */
import { compileSegment, gatesOf } from '../domain/compile.ts';
import type { Plan, PlannedAction } from '../domain/plan.ts';
import type { JobData } from '../schemas/job.ts';
import { type AddAgainDeps, addAgain } from './add-again.ts';
import { undoEnded } from './compensate.ts';
import { flowOfRun } from './flow-of-run.ts';
import { type PartEndedDeps, partEnded } from './part-ended.ts';
import type { Disposition, RunRow } from './ports.ts';
import { tracedAdd } from './span-export.ts';
import type { TaskStatus } from './use-cases.ts';

export interface ReleaseDeps extends AddAgainDeps, PartEndedDeps {}

/** `committed`: the status that this very delivery committed, so that nobody can have added the next flow yet. */
export async function releaseDependents(
  deps: ReleaseDeps,
  run: RunRow,
  plan: Plan,
  planned: PlannedAction,
  gen: number,
  committed: TaskStatus | undefined,
): Promise<void> {
  if (planned.part !== undefined) return partEnded(deps, run, planned.part, gen, committed);
  if (planned.undoes !== undefined) return undoEnded(deps, run);
  await deps.queue.removeGates(gatesOf(plan, planned, run.id, run.epoch));
  const next = plan.nextSegment(planned.index);
  if (next === undefined) return;
  if (committed === undefined) {
    if (!run.final) await addAgain(deps, run);
    return;
  }
  const flow = flowOfRun(run, gen, deps.now());
  await deps.queue.add([compileSegment(plan, next, flow)], [tracedAdd(run, gen, next)]);
}

/** A job of an epoch that is over, or of a run that is gone: it holds back what is as old as itself, and nothing else. */
export async function releaseLeftover(
  deps: Pick<AddAgainDeps, 'queue'>,
  plan: Plan,
  planned: PlannedAction,
  data: JobData,
): Promise<Disposition> {
  await deps.queue.removeGates(gatesOf(plan, planned, data.run_id, data.epoch));
  return { job: 'complete' };
}
