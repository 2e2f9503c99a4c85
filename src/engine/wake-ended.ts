/**
 * The janitor of what sleeps: a delayed job whose run has ended holds nobody up, but stays until it is due, which may be
 * days away, and its parents with it. That is left behind when Redis loses its newest writes after the end of a run. Made
 * due, it finds its run final and is only acknowledged.
 */
import { runOfJob } from '../domain/compile.ts';
import type { FlowQueue } from './ports.ts';

export interface WakeEndedDeps {
  queue: Pick<FlowQueue, 'promote'> & {
    /** Ids of delayed jobs of a queue, those due first first. */
    delayedPage(queue: string, offset: number, limit: number): Promise<string[]>;
  };
  runs: {
    /** Which of these runs are final, or gone. */
    ended(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  };
}

const PAGE = 200;

/** Each call looks at one page of each queue, and resolves to how many jobs were made due. */
export function createWakeEnded(deps: WakeEndedDeps, queues: readonly string[]): () => Promise<number> {
  const offsets = new Map<string, number>();
  return async () => {
    let woken = 0;
    for (const queue of queues) {
      const offset = offsets.get(queue) ?? 0;
      const sleeping = await deps.queue.delayedPage(queue, offset, PAGE);
      const orphans = await orphansAmong(deps, sleeping);
      await deps.queue.promote(orphans.map((jobId) => ({ queue, jobId })));
      offsets.set(queue, sleeping.length < PAGE ? 0 : offset + PAGE - orphans.length);
      woken += orphans.length;
    }
    return woken;
  };
}

async function orphansAmong(deps: WakeEndedDeps, jobIds: readonly string[]): Promise<string[]> {
  if (jobIds.length === 0) return [];
  const ended = await deps.runs.ended([...new Set(jobIds.map(runOfJob))]);
  return jobIds.filter((jobId) => ended.has(runOfJob(jobId)));
}
