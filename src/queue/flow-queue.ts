/** The engine's port to BullMQ, over all shards of the queue: what belongs to a run goes to the one that it lives in. */
import { GATE_QUEUE } from '../domain/graph/compile.ts';
import { shardOfJob } from '../domain/graph/shard.ts';
import type { StaleJobState } from '../engine/recover/clear-ended.ts';
import { type FlowQueueOptions, type Flows, openFlowShard } from './flow-shard.ts';

interface Job {
  queue: string;
  jobId: string;
}

export interface FlowsOfShards extends Flows {
  /**
   * Removes what is left of a time when the queue had more or fewer shards: jobs in another one than their run lives in,
   * which no worker executes. How many there were. Undefined: there is one shard, which all runs live in.
   */
  removeMisplaced?(queues: readonly string[]): Promise<number>;
}

export function createFlowQueue(options: FlowQueueOptions): FlowsOfShards {
  const shards = options.backend.shards.map((shard) => openFlowShard(shard, options));
  const [first] = shards;
  if (first === undefined) throw new Error('a queue has a shard');
  return shards.length === 1 ? first : overShards(shards);
}

/** Of each queue, at a time. */
const MISPLACED_PAGE = 500;

function overShards(shards: readonly Flows[]): FlowsOfShards {
  const indexOf = (jobId: string) => shardOfJob(jobId, shards.length);
  const of = (jobId: string) => shards[indexOf(jobId)] as Flows; // The remainder of a division by their number.

  /** Each shard does its part, side by side. */
  function divide<T, R>(
    items: readonly T[],
    jobIdOf: (item: T) => string,
    work: (shard: Flows, items: T[]) => Promise<R>,
  ) {
    const parts = new Map<Flows, T[]>();
    for (const item of items) {
      const shard = of(jobIdOf(item));
      const part = parts.get(shard);
      if (part === undefined) parts.set(shard, [item]);
      else part.push(item);
    }
    return Promise.all([...parts].map(([shard, part]) => work(shard, part)));
  }
  const divideJobs = <J extends Job, R>(jobs: readonly J[], work: (shard: Flows, jobs: J[]) => Promise<R>) =>
    divide(jobs, ({ jobId }) => jobId, work);

  /** A page of the lists of all shards, one after the other, without what is misplaced. */
  async function pageOver(
    { offset, limit }: { offset: number; limit: number },
    list: {
      count(shard: Flows): Promise<number>;
      page(shard: Flows, offset: number, limit: number): Promise<string[]>;
    },
  ): Promise<string[]> {
    const found: string[] = [];
    let skip = offset;
    let room = limit;
    for (const [index, shard] of shards.entries()) {
      const page = await list.page(shard, skip, room);
      found.push(...page.filter((jobId) => indexOf(jobId) === index));
      room -= page.length;
      if (room <= 0) break;
      skip = page.length > 0 ? 0 : Math.max(0, skip - (await list.count(shard)));
    }
    return found;
  }
  const gates = {
    count: (shard: Flows) => lengthOf(shard, GATE_QUEUE, 'waiting'),
    page: (shard: Flows, offset: number, limit: number) => shard.gatePage(offset, limit),
  };
  const jobs = (queue: string, state: StaleJobState) => ({
    count: (shard: Flows) => lengthOf(shard, queue, state),
    page: (shard: Flows, offset: number, limit: number) => shard.jobPage(queue, state, offset, limit),
  });

  /** Where the next page of each list starts, which are long where many runs sleep. */
  const offsets = new Map<string, number>();
  async function removeFrom(shard: Flows, index: number, queues: readonly string[]): Promise<number> {
    async function clear(
      list: string,
      page: (offset: number) => Promise<string[]>,
      remove: (jobIds: string[]) => Promise<unknown>,
    ): Promise<number> {
      const key = `${index} ${list}`;
      const offset = offsets.get(key) ?? 0;
      const found = await page(offset);
      const misplaced = found.filter((jobId) => indexOf(jobId) !== index);
      await remove(misplaced);
      offsets.set(key, found.length < MISPLACED_PAGE ? 0 : offset + MISPLACED_PAGE - misplaced.length);
      return misplaced.length;
    }
    let removed = await clear(GATE_QUEUE, (offset) => shard.gatePage(offset, MISPLACED_PAGE), shard.removeGates);
    // What waits to be taken is acknowledged by the worker that takes it.
    for (const queue of queues) {
      const jobsOf = (jobIds: string[]) => jobIds.map((jobId) => ({ queue, jobId }));
      const page = (state: StaleJobState) => (offset: number) => shard.jobPage(queue, state, offset, MISPLACED_PAGE);
      removed += await clear(`${queue} delayed`, page('delayed'), (ids) => shard.removeJobs(jobsOf(ids)));
      removed += await clear(`${queue} blocked`, page('waiting-children'), (ids) => shard.removeTrees(jobsOf(ids)));
    }
    return removed;
  }

  return {
    async add(runs) {
      const added = runs.filter((trees) => trees.length > 0);
      await divide(
        added,
        ([tree]) => tree?.jobId ?? '',
        (shard, some) => shard.add(some),
      );
    },
    async removeGates(jobIds) {
      await divide(
        jobIds,
        (jobId) => jobId,
        (shard, some) => shard.removeGates(some),
      );
    },
    gatePage: (offset, limit) => pageOver({ offset, limit }, gates),
    jobPage: (queue, state, offset, limit) => pageOver({ offset, limit }, jobs(queue, state)),
    async removeEnded(some) {
      await divideJobs(some, (shard, own) => shard.removeEnded(own));
    },
    async removeTrees(roots) {
      return (await divideJobs(roots, (shard, own) => shard.removeTrees(own))).every(Boolean);
    },
    async removeJobs(some) {
      const removed = await divideJobs(some, (shard, own) => shard.removeJobs(own));
      return removed.reduce((sum, count) => sum + count, 0);
    },
    async promote(some) {
      await divideJobs(some, (shard, own) => shard.promote(own));
    },
    state: (queue, jobId) => of(jobId).state(queue, jobId),
    // Each remembers the server that it was asked of, for its mark.
    wasWiped: async () => (await Promise.all(shards.map((shard) => shard.wasWiped()))).includes(true),
    async markSeen() {
      await Promise.all(shards.map((shard) => shard.markSeen()));
    },
    ping: async () => (await shards[0]?.ping()) === true,
    async setPaused(lane, paused) {
      await Promise.all(shards.map((shard) => shard.setPaused(lane, paused)));
    },
    queues: (names) => shards.flatMap((shard) => shard.queues(names)),
    queueOf: (name, jobId) => of(jobId).queueOf(name, jobId),
    async removeMisplaced(queues) {
      const removed = await Promise.all(shards.map((shard, index) => removeFrom(shard, index, queues)));
      return removed.reduce((sum, count) => sum + count, 0);
    },
    async close() {
      await Promise.all(shards.map((shard) => shard.close()));
    },
  };
}

async function lengthOf(shard: Flows, queue: string, state: 'waiting' | StaleJobState): Promise<number> {
  const [list] = shard.queues([queue]);
  return (await list?.getJobCountByTypes(state)) ?? 0;
}
