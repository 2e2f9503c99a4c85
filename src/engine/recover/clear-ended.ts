/**
 * The janitor of what a run leaves behind in the queue when Redis loses its newest writes after the end of the run. A delayed
 * job delays nobody, but stays until it is due, which may be days away, and its parents with it: made due, it finds its run
 * final and is only acknowledged. A parent whose child is lost waits for ever: it is removed, with what else it waits for.
 */
import { runOfJob } from '../../domain/graph/compile.ts';
import type { FlowQueue, JobState } from '../ports/queue.ts';

export interface ClearEndedDeps {
  queue: Pick<FlowQueue, 'promote' | 'removeTrees'> & {
    /** Ids of jobs of a queue in one state: the delayed in the order in which they are due. */
    jobPage(queue: string, state: StaleJobState, offset: number, limit: number): Promise<string[]>;
  };
  runs: {
    /** Which of these runs are final, or gone. */
    ended(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  };
}
export type StaleJobState = Extract<JobState, 'delayed' | 'waiting-children'>;

const PAGE = 200;

/** Each call checks one page of each queue, and resolves to how many jobs of ended runs it dealt with. */
export function createClearEnded(
  deps: ClearEndedDeps,
  queues: readonly string[],
): () => Promise<Record<StaleJobState, number>> {
  const offsets = new Map<string, number>();

  async function clear(
    state: StaleJobState,
    deal: (jobs: Array<{ queue: string; jobId: string }>) => Promise<unknown>,
  ): Promise<number> {
    let cleared = 0;
    for (const queue of queues) {
      const key = `${state} ${queue}`;
      const offset = offsets.get(key) ?? 0;
      const jobs = await deps.queue.jobPage(queue, state, offset, PAGE);
      const orphans = await orphansAmong(deps, jobs);
      await deal(orphans.map((jobId) => ({ queue, jobId })));
      offsets.set(key, jobs.length < PAGE ? 0 : offset + PAGE - orphans.length);
      cleared += orphans.length;
    }
    return cleared;
  }

  return async () => ({
    delayed: await clear('delayed', deps.queue.promote),
    'waiting-children': await clear('waiting-children', deps.queue.removeTrees),
  });
}

async function orphansAmong(deps: ClearEndedDeps, jobIds: readonly string[]): Promise<string[]> {
  if (jobIds.length === 0) return [];
  const ended = await deps.runs.ended([...new Set(jobIds.map(runOfJob))]);
  return jobIds.filter((jobId) => ended.has(runOfJob(jobId)));
}
