/** One lane: a BullMQ worker that hands its jobs to the engine and does with them what the engine says. */
import { DelayedError, UnrecoverableError } from 'bullmq';
import { growingDelay } from '../domain/health/system-faults.ts';
import { errorMessage } from '../domain/texts/error-message.ts';
import { type JobsInHand, TRUSTED } from '../engine/deliver/jobs-in-hand.ts';
import type { Logger } from '../engine/ports/logger.ts';
import type { Delivery, Disposition, Trust } from '../engine/ports/queue.ts';
import { JOB_VERSION, jobData } from '../schemas/job.ts';
import type { LaneProcessor, Shard } from './backend.ts';

export interface LaneOptions {
  backend: Pick<Shard, 'worker'>;
  queue: string;
  /** Where the queue has several shards it changes: it is what this one has of the slots of the lane. */
  readonly concurrency: number;
  /** Undefined: the queue has one shard. */
  inShard?: InShard;
  lockDurationMs: number;
  stalledIntervalMs: number;
  /** Of all workers of this lane together. */
  rateLimit: { max: number; perMs: number } | undefined;
  /** The clock that `untilMs` of a disposition goes by: the database's. BullMQ goes by this process's own. */
  now(): number;
  handle(delivery: Delivery): Promise<Disposition>;
  /** A fault of a store and none of the job: the job comes back later and no attempt is counted. */
  isPassing(error: unknown): boolean;
  /** A delivery ended outside of the engine, with an error; undefined: one succeeded, and no job with a fault is left. */
  onEnded?(error: unknown): void;
  /**
   * Resolves when the engine can commit what comes of a job; undefined: it can. Nothing is started before. False: this
   * process stops, and the job goes back.
   */
  whenUsable?(): Promise<boolean> | undefined;
  /** False: the queue stores only the code of why a job failed. What an error says may be a payload. */
  storesReasons: boolean;
  /** BullMQ gave the job up without the engine's word: it stalled too often, or its handling failed again and again. */
  onLost(delivery: Delivery, message: string): Promise<void>;
  inHand: Pick<JobsInHand, 'take' | 'locksLost'>;
  log: Logger;
}

export interface InShard {
  /** What the lane is called in this shard. */
  name: string;
  /** Executes the job, or does with it what is to be done instead. */
  around(jobId: string, execute: () => Promise<null>): Promise<null>;
}

export interface Lane {
  queue: string;
  ready(): Promise<void>;
  /** Takes no more jobs; those in hand go on. */
  drain(): Promise<void>;
  active(): number;
  hasRoom(): boolean;
  /** How many jobs it has ever taken. */
  taken(): number;
  /** Its fetch loop runs, or it is draining. */
  isFetching(): boolean;
  close(): Promise<void>;
}

/** Poison is judged by deliveries in PostgreSQL, long before this. */
const MAX_STALLED = 20;
/** The first word of a message, where a colon follows: adapters may call anything a code. */
const CODE = /^[A-Za-z0-9_.-]{1,64}(?=:)/;
const FAULT_DELAY_MS = 1_000;
/** The delay grows up to here while a job ends outside of the engine again and again. */
const MAX_FAULT_DELAY_MS = 15_000;
/** Jobs whose faults are remembered; the oldest are forgotten, and start again with the shortest delay. */
const FAULTS_REMEMBERED = 10_000;
const UNKNOWN_VERSION_DELAY_MS = 5_000;

const delayAfter = (faults: number) => growingDelay(faults, FAULT_DELAY_MS, MAX_FAULT_DELAY_MS);

/**
 * For so long jobs are fetched before they are started: what starts together shares statements, and the first of them waits for
 * the others. (One millisecond: a seventh less throughput of single tasks. Fifty jobs: half a second on a machine that is full.)
 */
const START_AFTER_MS = 4;

class RetryLater extends Error {
  readonly delayMs: number;
  constructor(message: string, delayMs: number) {
    super(message);
    this.delayMs = delayMs;
  }
}
/** The engine has committed this failure. */
class Settled extends UnrecoverableError {}

export function openLane(options: LaneOptions): Lane {
  const { backend, queue, inShard, log } = options;
  let active = 0;
  let taken = 0;
  /** How often in a row each job has ended outside of the engine. */
  const faults = new Map<string, number>();

  function afterFault(jobId: string): number {
    const count = (faults.get(jobId) ?? 0) + 1;
    faults.delete(jobId);
    faults.set(jobId, count);
    const [oldest] = faults.keys();
    if (faults.size > FAULTS_REMEMBERED && oldest !== undefined) faults.delete(oldest);
    return delayAfter(count);
  }

  /** Rejects with an error that is the job's own, as far as anybody can tell. */
  async function handled(job: Parameters<LaneProcessor>[0], trust: Trust): Promise<Disposition> {
    const jobId = job.id ?? '';
    try {
      if ((await options.whenUsable?.()) === false) return { job: 'delay', untilMs: options.now() };
      const disposition = await options.handle(toDelivery(queue, job, trust));
      faults.delete(jobId);
      // Of a busy lane most deliveries go well: that says nothing of the one that does not.
      if (faults.size === 0) options.onEnded?.(undefined);
      return disposition;
    } catch (error) {
      options.onEnded?.(error);
      const delayMs = afterFault(jobId);
      if (!options.isPassing(error)) throw options.storesReasons ? error : withoutReason(error);
      const reason = errorMessage(error);
      log.warn('job_put_off', { queue, job_id: jobId, delay_ms: delayMs, error: reason });
      return { job: 'delay', untilMs: options.now() + delayMs };
    }
  }

  /** A message starts with its code. */
  const reasonOf = (message: string) => (options.storesReasons ? message : (CODE.exec(message)?.[0] ?? 'failed'));
  function withoutReason(error: unknown): Error {
    log.error('job_not_handled', { queue, error: error instanceof Error ? error.stack : String(error) });
    return new Error('the log says why');
  }

  const processor: LaneProcessor = (job, token) => {
    started(job.id);
    taken += 1;
    return inShard === undefined ? execute(job, token) : inShard.around(job.id ?? '', () => execute(job, token));
  };

  const execute: LaneProcessor = async (job, token) => {
    active += 1;
    const trust = options.inHand.take(job.id ?? '');
    try {
      // A newer release may have added this job: it goes back until a worker that knows it takes it.
      if (versionOf(job.data) !== JOB_VERSION) {
        await job.moveToDelayed(Date.now() + UNKNOWN_VERSION_DELAY_MS, token);
        throw new DelayedError();
      }
      const disposition = await handled(job, trust);
      switch (disposition.job) {
        case 'complete':
          return null;
        case 'fail':
          throw new Settled(reasonOf(disposition.message));
        case 'retry':
          throw new RetryLater(reasonOf(disposition.message), disposition.delayMs);
        case 'delay':
          await job.moveToDelayed(Date.now() + Math.max(0, Math.round(disposition.untilMs - options.now())), token);
          await promoteIf(job, disposition.dueAlready);
          throw new DelayedError();
        case 'leave':
          // Not moved: BullMQ leaves it active. If it was ours it stalls and is delivered again.
          throw new DelayedError();
      }
    } finally {
      trust.release();
      active -= 1;
    }
  };

  /** A wake that is missed here is found by the reconciler. */
  async function promoteIf(job: Parameters<LaneProcessor>[0], isDue: (() => Promise<boolean>) | undefined) {
    try {
      if (await isDue?.()) await job.promote();
    } catch (error) {
      const reason = errorMessage(error);
      log.debug('job_not_promoted', { queue, job_id: job.id, error: reason });
    }
  }

  const worker = backend.worker(queue, processor, {
    concurrency: options.concurrency,
    lockDuration: options.lockDurationMs,
    stalledInterval: options.stalledIntervalMs,
    maxStalledCount: MAX_STALLED,
    ...(options.rateLimit === undefined
      ? {}
      : { limiter: { max: options.rateLimit.max, duration: options.rateLimit.perMs } }),
    settings: {
      backoffStrategy: (_attempts, _type, error, job) =>
        error instanceof RetryLater ? error.delayMs : delayAfter(faults.get(job?.id ?? '') ?? 1),
    },
  });

  // BullMQ fetches one job after the other until none waits or all slots are taken, and only then starts what it has fetched.
  // With no slot to spare it stops fetching and starts them.
  const fetched = new Set<string>();
  let firstAt = 0;
  worker.on('active', ({ id }) => {
    const now = performance.now();
    if (fetched.size === 0) firstAt = now;
    fetched.add(id ?? '');
    if (now - firstAt >= START_AFTER_MS) worker.concurrency = 1;
  });
  function started(jobId: string | undefined): void {
    fetched.delete(jobId ?? '');
    if (fetched.size === 0) worker.concurrency = options.concurrency;
  }

  worker.on('failed', (job, error) => {
    // BullMQ may fail one without asking us.
    started(job?.id);
    if (error instanceof RetryLater || error instanceof Settled || job === undefined) return;
    log.error('job_failed_outside_engine', { queue, job_id: job.id, error: error.message });
    // Without a finish time BullMQ tries it again.
    if (job.finishedOn === undefined) return;
    options.onLost(toDelivery(queue, job, TRUSTED), error.message).catch((cause: unknown) => {
      log.error('lost_job_not_settled', {
        queue,
        job_id: job.id,
        error: errorMessage(cause),
      });
    });
  });
  worker.on('lockRenewalFailed', (jobIds) => options.inHand.locksLost(jobIds));
  worker.on('stalled', (jobId) => log.warn('job_stalled', { queue, job_id: jobId }));

  return {
    queue: inShard?.name ?? queue,
    ready: async () => {
      await worker.waitUntilReady();
    },
    drain: () => worker.pause(true),
    active: () => active,
    // A lane with a rate limit leaves jobs waiting although it is responsive.
    hasRoom: () => active < options.concurrency && options.rateLimit === undefined,
    taken: () => taken,
    isFetching: () => worker.isRunning() || worker.isPaused(),
    close: () => worker.close(),
  };
}

function versionOf(data: unknown): unknown {
  return typeof data === 'object' && data !== null && 'v' in data ? data.v : undefined;
}

function toDelivery(queue: string, job: Parameters<LaneProcessor>[0], trust: Trust): Delivery {
  return {
    jobId: job.id ?? '',
    queue,
    data: jobData.parse(job.data),
    added: { atMs: job.timestamp, delayMs: job.opts.delay ?? 0 },
    attemptsMade: job.attemptsMade,
    attemptsStarted: job.attemptsStarted,
    stalledCounter: job.stalledCounter,
    trust,
  };
}
