/** The engine's port to BullMQ, in one shard of the queue: flows in, gates out. */
import type { FlowJob, FlowProducer, KeepJobs } from 'bullmq';
import { type FlowNode, GATE_QUEUE, jobsIn } from '../domain/graph/compile.ts';
import type { LaneSwitch } from '../engine/control/lanes.ts';
import { endedWithin } from '../engine/deliver/time-limit.ts';
import type { FlowQueue, JobRemoval, JobState } from '../engine/ports/queue.ts';
import type { CleanGatesDeps } from '../engine/recover/clean-gates.ts';
import type { ClearEndedDeps } from '../engine/recover/clear-ended.ts';
import { type Backend, type LaneQueue, NO_RESPONSE, type Shard } from './backend.ts';
import { createSingleJobs, type SingleJob } from './single-jobs.ts';

/** Few: what fails is an outcome for PostgreSQL and no failure for BullMQ. */
const KEEP_FAILED = { age: 86_400, count: 10_000 };
const AT_ONCE = 50;

export interface FlowQueueOptions {
  backend: Backend;
  /** The API gives up after this; the run stays pending and the dispatcher adds it. */
  timeoutMs?: number;
  /** Called after every gate that was removed; without it many are removed at once. */
  afterGate?: (() => Promise<void> | undefined) | undefined;
}

/** What the engine and its janitors need of a queue. */
export interface Flows
  extends FlowQueue,
    JobRemoval,
    LaneSwitch,
    Pick<CleanGatesDeps['queue'], 'gatePage'>,
    Pick<ClearEndedDeps['queue'], 'jobPage'> {
  /** Those of these names, of all shards. */
  queues(names: readonly string[]): LaneQueue[];
  /** That of the shard in which the job has to be. */
  queueOf(name: string, jobId: string): LaneQueue;
  close(): Promise<void>;
}

export function openFlowShard(shard: Shard, { backend, timeoutMs, afterGate }: FlowQueueOptions): Flows {
  const flows: FlowProducer = shard.flows();
  const queues = new Map<string, LaneQueue>();
  const queue = (name: string) => {
    const opened = queues.get(name) ?? shard.queue(name);
    queues.set(name, opened);
    return opened;
  };

  async function writeSettings(name: string): Promise<void> {
    const fresh = shard.queue(name);
    await fresh.getVersion(); // Waits until they are written.
    await fresh.close();
  }

  const addSingles = createSingleJobs(queue);
  const keep = backend.keepCompleted;
  const retried = <T>(work: () => Promise<T>) => onceMore(work, () => backend.forgetScripts());

  return {
    async add(runs) {
      const singles = new Map<string, SingleJob[]>();
      const rest: FlowNode[][] = [];
      for (const trees of runs) {
        const single = trees.length === 1 ? singleOf(trees[0], keep) : undefined;
        if (single === undefined) {
          rest.push([...trees]);
          continue;
        }
        const jobs = singles.get(single.queue) ?? [];
        jobs.push(single.job);
        singles.set(single.queue, jobs);
      }
      await Promise.all([
        ...[...singles].map(([name, jobs]) => retried(() => within(timeoutMs, addSingles(name, jobs)))),
        // One by one: FlowProducer.addBulk does not report the errors of its trees.
        inChunks(rest, async (trees) => {
          for (const tree of trees) {
            await retried(() => within(timeoutMs, flows.add(toFlowJob(tree, keep))));
            await backend.added(jobsIn(tree));
          }
        }),
      ]);
    },
    async removeGates(jobIds) {
      const gates = queue(GATE_QUEUE);
      const remove = (id: string) => retried(() => within(timeoutMs, gates.remove(id)));
      if (afterGate === undefined) return inChunks(jobIds, remove);
      for (const id of jobIds) {
        await remove(id);
        await afterGate();
      }
    },
    async gatePage(offset, limit) {
      const jobs = await within(timeoutMs, queue(GATE_QUEUE).getJobs(['waiting'], offset, offset + limit - 1, true));
      return jobs.flatMap(({ id }) => (id === undefined ? [] : [id]));
    },
    jobPage: (name, state, offset, limit) =>
      within(timeoutMs, queue(name).getRanges([state], offset, offset + limit - 1, true)),
    async removeEnded(jobs) {
      await inChunks(jobs, async ({ queue: name, jobId }) => {
        const job = await queue(name).getJob(jobId);
        const state = job === undefined ? undefined : await queue(name).getJobState(jobId);
        // One that is there and in no list is a zombie job of a Redis that lost its newest writes: nobody will
        // ever take it, it blocks a new one, and its parent waits for it.
        if (state === 'failed' || state === 'completed' || state === 'unknown')
          await retried(() => queue(name).remove(jobId));
      });
    },
    async removeTrees(roots) {
      let all = true;
      for (const { queue: name, jobId } of roots) {
        if ((await within(timeoutMs, queue(name).getJob(jobId))) === undefined) continue;
        if ((await retried(() => within(timeoutMs, queue(name).remove(jobId)))) === 0) all = false;
      }
      return all;
    },
    async removeJobs(jobs) {
      let removed = 0;
      await inChunks(jobs, async ({ queue: name, jobId }) => {
        // To remove one that is not there is a success too, and would be counted.
        if ((await within(timeoutMs, queue(name).getJob(jobId))) === undefined) return;
        // By itself: with its children it would stay where one of them is in the hands of a worker.
        const were = await retried(() => within(timeoutMs, queue(name).remove(jobId, { removeChildren: false })));
        removed += were;
      });
      return removed;
    },
    async promote(jobs) {
      await inChunks(jobs, async ({ queue: name, jobId }) => {
        const job = await within(timeoutMs, queue(name).getJob(jobId));
        if (job === undefined || !(await job.isDelayed())) return;
        // It may have become due in this very moment.
        await job.promote().catch(() => undefined);
      });
    },
    async state(name, jobId): Promise<JobState> {
      const state = await queue(name).getJobState(jobId);
      switch (state) {
        case 'unknown':
          return 'missing';
        case 'prioritized':
        case 'waiting':
          return 'waiting';
        default:
          return state;
      }
    },
    wasWiped: () => within(timeoutMs, shard.isMarked()).then((marked) => !marked),
    async markSeen() {
      // How many events are stored is in the store too, and a script that misses it there writes BullMQ's own default.
      await within(timeoutMs, Promise.all([...queues.keys()].map(writeSettings)));
      await within(timeoutMs, shard.mark());
    },
    async ping() {
      return within(timeoutMs ?? 2_000, backend.ping()).catch(() => false);
    },
    async setPaused(lane, paused) {
      const lanes = queue(lane);
      if ((await within(timeoutMs, lanes.isPaused())) === paused) return;
      await within(timeoutMs, paused ? lanes.pause() : lanes.resume());
    },
    queues: (names) => names.map(queue),
    queueOf: queue,
    async close() {
      await Promise.allSettled([flows.close(), ...[...queues.values()].map((open) => open.close())]);
    },
  };
}

function toFlowJob(node: FlowNode, keep: KeepJobs): FlowJob {
  return {
    name: node.name,
    queueName: node.queue,
    data: node.data ?? {},
    opts: optionsOf(node, keep),
    ...(node.children.length > 0 ? { children: node.children.map((child) => toFlowJob(child, keep)) } : {}),
  };
}

function singleOf(node: FlowNode | undefined, keep: KeepJobs): { queue: string; job: SingleJob } | undefined {
  if (node?.data === undefined || node.children.length > 0) return undefined;
  return { queue: node.queue, job: { name: node.name, data: node.data, opts: optionsOf(node, keep) } };
}

function optionsOf(node: FlowNode, keep: KeepJobs) {
  return {
    jobId: node.jobId,
    attempts: node.attempts,
    backoff: { type: 'custom' },
    removeOnComplete: keep,
    removeOnFail: KEEP_FAILED,
    // A dependent becomes ready when all it waits for is final, however it ended; the domain decides what then.
    ignoreDependencyOnFailure: true,
    ...(node.priority > 0 ? { priority: node.priority } : {}),
    ...(node.delayMs > 0 ? { delay: node.delayMs } : {}),
  };
}

async function inChunks<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) await Promise.all(items.slice(at, at + AT_ONCE).map(work));
}

/** Deadlocks, and scripts that Redis has lost, pass when it is done once more. */
async function onceMore<T>(work: () => Promise<T>, forgetScripts: () => Promise<void>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      // Redis has no other codes than the first word of its message.
      const lostScript = error instanceof Error && error.message.startsWith('NOSCRIPT');
      if (tries >= 5 || !lostScript) throw error;
      await forgetScripts();
    }
  }
}

function within<T>(milliseconds: number | undefined, work: Promise<T>): Promise<T> {
  return milliseconds === undefined ? work : endedWithin(milliseconds, work, NO_RESPONSE);
}
