/** The state and position of single jobs in the queue, for the diagnosis of what does not move. Reads only. */

import { shardOfJob } from '../domain/graph/shard.ts';
import type { JobFact } from '../domain/health/job-fact.ts';
import { endedWithin } from '../engine/deliver/time-limit.ts';
import type { JobProbes, JobRef } from '../engine/ports/queue.ts';
import { type Backend, type LaneQueue, NO_RESPONSE } from './backend.ts';
import type { Flows } from './flow-shard.ts';

const TIMEOUT_MS = 2_000;
/** The position of a job in its lane is reported up to here. */
const MAX_POSITION = 1_000;

export function createJobProbes({ shards }: Pick<Backend, 'shards'>, { queueOf }: Pick<Flows, 'queueOf'>): JobProbes {
  async function probe(
    { queue: name, jobId }: JobRef,
    first: (queue: LaneQueue) => Promise<string[]>,
  ): Promise<JobFact> {
    const queue = queueOf(name, jobId);
    const state = await queue.getJobState(jobId);
    switch (state) {
      case 'unknown':
        return { state: 'missing' };
      case 'waiting':
      case 'prioritized': {
        const position = (await first(queue)).indexOf(jobId);
        return { state: 'waiting', ahead: position < 0 ? undefined : position };
      }
      case 'delayed':
        return { state, delayMs: (await queue.getJob(jobId))?.delay };
      case 'active':
        return { state, lockLeftMs: (await lockLeftMs(name, jobId)) ?? null };
      default:
        return { state };
    }
  }
  async function lockLeftMs(name: string, jobId: string): Promise<number | null | undefined> {
    return shards[shards.length === 1 ? 0 : shardOfJob(jobId, shards.length)]?.lockLeftMs(name, jobId);
  }
  return {
    async probe(jobs) {
      const lists = new Map<LaneQueue, Promise<string[]>>();
      const first = (lane: LaneQueue) => {
        const list = lists.get(lane) ?? inOrder(lane);
        lists.set(lane, list);
        return list;
      };
      const all = Promise.all(jobs.map(async (job) => [job.name, await probe(job, first)] as const));
      return new Map(await endedWithin(TIMEOUT_MS, all, NO_RESPONSE));
    },
  };
}

/** Without a priority comes before any with one. */
async function inOrder(queue: LaneQueue): Promise<string[]> {
  const plain = await queue.getRanges(['waiting'], 0, MAX_POSITION - 1, true);
  const urgent = await queue.getRanges(['prioritized'], 0, MAX_POSITION - 1, true);
  return [...new Set([...plain, ...urgent])];
}
