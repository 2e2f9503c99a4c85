/**
 * How far a worker may still believe that the jobs in its hands are its own. A lock in the queue expires by time, so a
 * worker that stood still, or whose queue may have lost its newest writes, cannot know whether another one has its jobs.
 *
 * A job is *trusted* from its delivery on. It is *distrusted*, for good, when its lock could not be renewed, when this
 * process stood still for most of a lock's time, or when the queue came back as another server. What a distrusted
 * execution says is no more than an opinion, except that a success has really happened. This narrows the time in which
 * two execute one task; safety does not rest on it, but on the token in PostgreSQL.
 */
import type { Logger } from '../ports/logger.ts';
import type { Trust } from '../ports/queue.ts';
import type { Outcome } from '../ports/tasks.ts';

/** For a delivery that nobody watches over. */
export const TRUSTED: Trust = { isTrusted: () => true, onLost: () => undefined };

export function mayCommit(status: Outcome['status'], trust: Pick<Trust, 'isTrusted'>): boolean {
  return status === 'completed' || trust.isTrusted();
}

export interface JobsInHand {
  /** A delivery starts. Of two of one job in this process the older one is not ours any more. */
  take(jobId: string): Trust & { release(): void };
  ids(): string[];
  /** Shows that this process moves; to be called every `PULSES_PER_LOCK`th part of a lock's time. */
  pulse(): void;
  locksLost(jobIds: readonly string[]): void;
  /** Another server answers, which may not know what was written last. What runs may go on: it may well succeed. */
  queueChanged(): void;
}

/** Of a lock's time, so much may pass without a sign of this process. */
const MAX_PAUSE = 0.8;
export const PULSES_PER_LOCK = 10;

interface JobInHand extends Trust {
  release(): void;
  lose(reason: string, abort: boolean): void;
}

export function createJobsInHand(deps: {
  lockDurationMs: number;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  log: Logger;
}): JobsInHand {
  const { now, log } = deps;
  const maxPauseMs = deps.lockDurationMs * MAX_PAUSE;
  const jobs = new Map<string, JobInHand>();
  let lastPulse = now();

  function loseAll(reason: string, abort: boolean): void {
    if (jobs.size === 0) return;
    log.warn('jobs_distrusted', { reason, jobs: [...jobs.keys()] });
    for (const job of jobs.values()) job.lose(reason, abort);
  }

  /** Whoever asks first after a pause finds it: what woke up may have something to commit before any timer runs. */
  function notice(): void {
    const at = now();
    const pausedMs = at - lastPulse;
    if (pausedMs <= maxPauseMs) return;
    lastPulse = at;
    loseAll(`this process stood still for ${Math.round(pausedMs)} ms`, true);
  }

  return {
    take(jobId) {
      notice();
      jobs.get(jobId)?.lose('the job was delivered again', true);
      let lost: { reason: string; abort: boolean } | undefined;
      let stop: ((reason: string) => void) | undefined;
      const job: JobInHand = {
        isTrusted() {
          if (lost === undefined) notice();
          return lost === undefined;
        },
        onLost(listener) {
          stop = listener;
          if (lost?.abort === true) listener(lost.reason);
        },
        lose(reason, abort) {
          if (lost !== undefined) return;
          lost = { reason, abort };
          if (abort) stop?.(reason);
        },
        release() {
          stop = undefined;
          if (jobs.get(jobId) === job) jobs.delete(jobId);
        },
      };
      jobs.set(jobId, job);
      return job;
    },
    ids: () => [...jobs.keys()],
    pulse() {
      notice();
      lastPulse = now();
    },
    locksLost(jobIds) {
      const ours = jobIds.filter((id) => jobs.has(id));
      if (ours.length === 0) return;
      log.warn('jobs_distrusted', { reason: 'their locks were not renewed', jobs: ours });
      for (const id of ours) jobs.get(id)?.lose('its lock was not renewed', true);
    },
    queueChanged: () => loseAll('the queue was restarted, and may have lost what was written last', false),
  };
}
