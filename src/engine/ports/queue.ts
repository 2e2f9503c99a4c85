/** The queue as the engine needs it. `src/queue/` implements it; the engine knows nothing of BullMQ. */

import type { FlowNode } from '../../domain/graph/compile.ts';
import type { JobFact } from '../../domain/health/job-fact.ts';
import type { JobData } from '../../schemas/job.ts';

/** Whether a delivery's job is still ours, as far as this worker can tell. */
export interface Trust {
  /** False: of this delivery only a success may be committed. */
  isTrusted(): boolean;
  /** Calls the listener once, when the adapter should stop. There is one listener, the last one. */
  onLost(listener: (reason: string) => void): void;
}

/** A job in the hands of this worker. */
export interface Delivery {
  jobId: string;
  queue: string;
  data: JobData;
  /** By the clock of whoever added it, and how long it was to wait once it was ready; for metrics alone. */
  added?: { atMs: number; delayMs: number };
  /** BullMQ's counters. They distinguish a clean first delivery from any other; none of them is a token. */
  attemptsMade: number;
  attemptsStarted: number;
  stalledCounter: number;
  trust: Trust;
}

/** What becomes of the job in BullMQ once everything else is stored. */
export type Disposition =
  | { job: 'complete' }
  | { job: 'fail'; message: string }
  | { job: 'retry'; message: string; delayMs: number }
  /** Moved to delayed; no attempt is counted. `dueAlready` is called once it is there: true makes it due at once. */
  | { job: 'delay'; untilMs: number; dueAlready?: () => Promise<boolean> }
  /** Not touched: a newer holder is at work, and if the job was ours it stalls and is delivered again. */
  | { job: 'leave' };

/** A run whose jobs are added to the queue, for its span. */
export interface TracedAdd {
  run: { id: string; tenantId: string; traceId?: string | null; parentSpanId?: string | undefined };
  epoch: number;
  gen: number;
  segment: number;
}

export interface FlowQueue {
  /**
   * Each tree is all or nothing. The trees of one run go in order, because the first ones hold the gates of the others;
   * runs go side by side. Throws when the queue cannot be reached. `traced`: for spans, what is added.
   */
  add(runs: ReadonlyArray<readonly FlowNode[]>, traced?: readonly TracedAdd[]): Promise<void>;
  removeGates(jobIds: readonly string[]): Promise<void>;
  /** Removes jobs that have ended in BullMQ and are still stored there, and broken ones in no list; leaves every other one alone. */
  removeEnded(jobs: ReadonlyArray<{ queue: string; jobId: string }>): Promise<void>;
  /** Removes each job with all below it, in one step each, unless one of these is in the hands of a worker: then false. */
  removeTrees(roots: ReadonlyArray<{ queue: string; jobId: string }>): Promise<boolean>;
  /** Makes a delayed job due now; does nothing to any other. */
  promote(jobs: ReadonlyArray<{ queue: string; jobId: string }>): Promise<void>;
  state(queue: string, jobId: string): Promise<JobState>;
  /** True when the queue has lost its content, or may have lost its newest writes, since it was last marked as seen. */
  wasWiped(): Promise<boolean>;
  markSeen(): Promise<void>;
  ping(): Promise<boolean>;
}

export type JobState = 'waiting' | 'active' | 'delayed' | 'waiting-children' | 'completed' | 'failed' | 'missing';

/** Takes away whatever it has of these, in any state but in the hands of a worker; how many there were. */
export interface JobRemoval {
  removeJobs(jobs: ReadonlyArray<{ queue: string; jobId: string }>): Promise<number>;
}

/** Wakes one worker every second. */
export interface ScheduleTicks {
  isOn(): Promise<boolean>;
  turnOn(): Promise<void>;
  turnOff(): Promise<void>;
}

export interface JobRef {
  /** Its key in the answer. */
  name: string;
  queue: string;
  jobId: string;
}

export interface JobProbes {
  /** Rejects when the queue does not answer in time. */
  probe(jobs: readonly JobRef[]): Promise<ReadonlyMap<string, JobFact>>;
}
