/**
 * The janitor of the queue `gates`: a gate whose run has ended blocks jobs that have nothing left to do, for ever.
 * That is left behind when a process dies between adding a flow again and removing the gates of what is final, or when
 * Redis loses its newest writes after the end of a run.
 */
import { runOfJob } from '../../domain/graph/compile.ts';
import type { FlowQueue } from '../ports/queue.ts';

export interface CleanGatesDeps {
  queue: Pick<FlowQueue, 'removeGates'> & {
    /** Ids of gates that are there, the oldest first. */
    gatePage(offset: number, limit: number): Promise<string[]>;
  };
  runs: {
    /** Which of these runs are final, or gone. */
    ended(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  };
}

const PAGE = 500;

/** Checks one page, the oldest first; resolves to where the next page starts and how many gates were removed. */
export async function cleanGates(deps: CleanGatesDeps, offset: number): Promise<{ next: number; removed: number }> {
  const gates = await deps.queue.gatePage(offset, PAGE);
  const runOf = new Map(gates.map((jobId) => [jobId, runOfJob(jobId)]));
  const ended = await deps.runs.ended([...new Set(runOf.values())]);
  const orphans = gates.filter((jobId) => ended.has(runOf.get(jobId) ?? ''));
  await deps.queue.removeGates(orphans);
  const last = gates.length < PAGE;
  return { next: last ? 0 : offset + PAGE - orphans.length, removed: orphans.length };
}
