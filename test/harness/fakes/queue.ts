/**
 * BullMQ as the engine knows it, in memory: what was tried on the real one (both backends), as few rules as will do.
 * A parent waits for its children; a job whose id exists is not made again, but a failed child that is still stored is pending again;
 * a job that ends while something is pending under it fails; only the holder of the lock may end a job.
 */
import { type FlowNode, GATE_QUEUE } from '../../../src/domain/graph/compile.ts';
import { TRUSTED } from '../../../src/engine/deliver/jobs-in-hand.ts';
import type { Delivery, Disposition, FlowQueue, JobState } from '../../../src/engine/ports/queue.ts';

export interface FakeJob {
  key: string;
  queue: string;
  jobId: string;
  node: FlowNode;
  state: Exclude<JobState, 'missing'>;
  parent: string | undefined;
  pending: Set<string>;
  attemptsMade: number;
  attemptsStarted: number;
  stalledCounter: number;
  lock: number | undefined;
}
/** A job in the hands of a worker. */
export interface Lease {
  delivery: Delivery;
  key: string;
  lock: number;
}

export interface FakeQueue extends FlowQueue {
  jobs(): FakeJob[];
  job(queue: string, jobId: string): FakeJob | undefined;
  /** What a worker could take now: waiting first, then what is delayed, whose time is taken to have come. */
  ready(): FakeJob[];
  /** Neither completed nor failed. */
  open(): FakeJob[];
  gates(): string[];
  take(job: FakeJob): Lease;
  /** False when the lock is lost: nothing was done. */
  end(lease: Lease, disposition: Disposition): boolean;
  /** The lock runs out: the job goes back, whether its worker lives or not. */
  stall(job: FakeJob): void;
  /** It has stalled too often: it fails without anybody having worked on it. */
  giveUp(job: FakeJob): Delivery;
  wipe(): void;
  /** What the queue has now; calling it brings that back, as a store does that loses its newest writes. */
  save(): () => void;
  /** An ended job is not stored for ever; whatever waited for it is released. */
  forget(job: FakeJob): void;
  isMarked(): boolean;
  /** Calls fail while it is true. */
  down: boolean;
  /** What must never happen: jobs that ended although something was pending under them. */
  violations: string[];
}

export function createFakeQueue(): FakeQueue {
  const jobs = new Map<string, FakeJob>();
  const violations: string[] = [];
  let locks = 0;
  let marked = true;

  function insert(node: FlowNode, parent: FakeJob | undefined): void {
    const key = keyOf(node.queue, node.jobId);
    const existing = jobs.get(key);
    if (existing !== undefined) {
      if (existing.parent !== parent?.key && existing.parent !== undefined && jobs.has(existing.parent)) {
        throw new Error(`${node.jobId} is a child of ${existing.parent} already`);
      }
      existing.parent = parent?.key;
      if (existing.state !== 'completed') parent?.pending.add(key);
    } else {
      jobs.set(key, {
        key,
        queue: node.queue,
        jobId: node.jobId,
        node,
        state: 'waiting',
        parent: parent?.key,
        pending: new Set(),
        attemptsMade: 0,
        attemptsStarted: 0,
        stalledCounter: 0,
        lock: undefined,
      });
      parent?.pending.add(key);
    }
    const job = jobs.get(key);
    for (const child of node.children) insert(child, job);
    if (existing === undefined && job !== undefined)
      job.state = job.pending.size > 0 ? 'waiting-children' : startOf(node);
    if (existing?.state === 'waiting-children' && existing.pending.size === 0) existing.state = startOf(existing.node);
  }

  function release(job: FakeJob): void {
    const parent = job.parent === undefined ? undefined : jobs.get(job.parent);
    if (parent?.pending.delete(job.key) !== true) return;
    if (parent.state === 'waiting-children' && parent.pending.size === 0) parent.state = startOf(parent.node);
  }

  function finish(job: FakeJob, state: 'completed' | 'failed'): void {
    if (job.pending.size > 0) {
      violations.push(`${job.jobId} ended while ${[...job.pending].join(', ')} was pending`);
      job.state = 'failed';
    } else {
      job.state = state;
    }
    release(job);
  }

  const guard = () => {
    if (fake.down) throw new Error('the queue cannot be reached');
  };
  const remove = (key: string) => {
    const job = jobs.get(key);
    if (job === undefined) return;
    jobs.delete(key);
    release(job);
  };

  const fake: FakeQueue = {
    down: false,
    violations,
    jobs: () => [...jobs.values()],
    job: (queue, jobId) => jobs.get(keyOf(queue, jobId)),
    ready: () => {
      const of = (state: JobState) => [...jobs.values()].filter((j) => j.queue !== GATE_QUEUE && j.state === state);
      return [...of('waiting').sort((a, b) => a.node.priority - b.node.priority), ...of('delayed')];
    },
    open: () => [...jobs.values()].filter(({ state }) => state !== 'completed' && state !== 'failed'),
    gates: () => [...jobs.values()].filter(({ queue }) => queue === GATE_QUEUE).map(({ jobId }) => jobId),
    take(job) {
      locks += 1;
      job.state = 'active';
      job.lock = locks;
      job.attemptsStarted += 1;
      return { delivery: deliveryOf(job), key: job.key, lock: locks };
    },
    end(lease, disposition) {
      const job = jobs.get(lease.key);
      if (job === undefined || job.lock !== lease.lock || disposition.job === 'leave') return false;
      job.lock = undefined;
      switch (disposition.job) {
        case 'complete':
          finish(job, 'completed');
          break;
        case 'fail':
          job.attemptsMade += 1;
          finish(job, 'failed');
          break;
        case 'retry':
          job.attemptsMade += 1;
          if (job.attemptsMade >= job.node.attempts) finish(job, 'failed');
          else job.state = 'delayed';
          break;
        case 'delay':
          job.state = 'delayed';
          break;
      }
      return true;
    },
    stall(job) {
      job.lock = undefined;
      job.stalledCounter += 1;
      job.state = 'waiting';
    },
    giveUp(job) {
      job.lock = undefined;
      const delivery = deliveryOf(job);
      job.attemptsMade += 1;
      finish(job, 'failed');
      return delivery;
    },
    wipe() {
      jobs.clear();
      marked = false;
    },
    save() {
      const saved = [...jobs.values()].map((job) => ({ ...job, pending: new Set(job.pending) }));
      return () => {
        jobs.clear();
        for (const job of saved) jobs.set(job.key, { ...job, pending: new Set(job.pending) });
      };
    },
    isMarked: () => marked,
    forget: (job) => remove(job.key),
    async add(runs) {
      guard();
      for (const tree of runs.flat()) insert(tree, undefined);
    },
    async removeGates(jobIds) {
      guard();
      for (const id of jobIds) remove(keyOf(GATE_QUEUE, id));
    },
    async removeEnded(ended) {
      guard();
      for (const { queue, jobId } of ended) {
        const key = keyOf(queue, jobId);
        const state = jobs.get(key)?.state;
        if (state === 'failed' || state === 'completed') remove(key);
      }
    },
    async removeTrees(roots) {
      guard();
      const under = (key: string): FakeJob[] => {
        const job = jobs.get(key);
        if (job === undefined) return [];
        return [job, ...[...jobs.values()].filter(({ parent }) => parent === key).flatMap((child) => under(child.key))];
      };
      let all = true;
      for (const { queue, jobId } of roots) {
        const tree = under(keyOf(queue, jobId));
        if (tree.some(({ lock }) => lock !== undefined)) all = false;
        else for (const { key } of tree) remove(key);
      }
      return all;
    },
    async promote(sleeping) {
      guard();
      for (const { queue, jobId } of sleeping) {
        const job = jobs.get(keyOf(queue, jobId));
        if (job?.state === 'delayed') job.state = 'waiting';
      }
    },
    async state(queue, jobId) {
      guard();
      return jobs.get(keyOf(queue, jobId))?.state ?? 'missing';
    },
    async wasWiped() {
      guard();
      return !marked;
    },
    async markSeen() {
      guard();
      marked = true;
    },
    ping: async () => !fake.down,
  };
  return fake;
}

function deliveryOf({ node, queue, jobId, attemptsMade, attemptsStarted, stalledCounter }: FakeJob): Delivery {
  if (node.data === undefined) throw new Error('nobody serves the gates');
  return { jobId, queue, data: node.data, attemptsMade, attemptsStarted, stalledCounter, trust: TRUSTED };
}

function keyOf(queue: string, jobId: string): string {
  return `${queue}:${jobId}`;
}

function startOf(node: FlowNode): 'delayed' | 'waiting' {
  return node.delayMs > 0 ? 'delayed' : 'waiting';
}
