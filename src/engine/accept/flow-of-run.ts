import type { FlowOfRun } from '../../domain/graph/compile.ts';
import { urgencyOf } from '../../domain/graph/job-priority.ts';
import type { RunRow } from '../ports/rows.ts';

/** What the jobs of a run are made of. `rank`: the fair-share rank of one that has not started. */
export function flowOfRun(run: RunRow, gen: number, now: number, rank?: number): FlowOfRun {
  const { id: runId, epoch, priority, of, deadlineAt } = run;
  return { runId, epoch, gen, priority, of, rank, urgency: urgencyOf(deadlineAt?.getTime(), now) };
}
