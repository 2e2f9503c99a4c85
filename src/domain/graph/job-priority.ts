/**
 * The order of the jobs in a lane, as one number for BullMQ: lower goes first, equal ones go in the order of their adding.
 * The client's priority comes first. Inside one priority the tasks of runs under way go before the first tasks of runs that
 * have not started, so that a backlog gives finished runs and not a thousand half-done ones. Among tasks under way the more
 * urgent one goes first, then the deeper; among first tasks the fair-share rank decides, then the more urgent one goes first.
 */
import { MAX_RANK } from '../fairness/fair-share.ts';

/** A run without a deadline, or with a distant one. */
export const NOT_URGENT = 9;
const DEPTHS = 1_000;
const UNDER_WAY = (NOT_URGENT + 1) * DEPTHS;
const STEP = UNDER_WAY + (MAX_RANK + 1) * (NOT_URGENT + 1);

/** What is left until the deadline, in seconds, for each urgency from 0 on. */
const URGENT_BELOW_SECONDS = [5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800];

export interface JobRank {
  /** 1 (first) to 100. */
  priority: number;
  /** 0 (now or never) to `NOT_URGENT`. */
  urgency: number;
  /** Longest way from a source of the workflow. */
  depth: number;
  /** The run's fair-share rank among those that have not started; undefined: it is under way. */
  rank: number | undefined;
}

export function jobPriority({ priority, urgency, depth, rank }: JobRank): number {
  const base = priority * STEP;
  if (rank === undefined || depth > 0) return base + urgency * DEPTHS + (DEPTHS - 1 - Math.min(depth, DEPTHS - 1));
  return base + UNDER_WAY + rank * (NOT_URGENT + 1) + urgency;
}

/** How the end of a run is ranked: before all of its kind. */
export function endPriority(priority: number): number {
  return priority * STEP;
}

/** Classes, because the number of a job stays as it was when it was added. Both in milliseconds. */
export function urgencyOf(deadlineAt: number | undefined, now: number): number {
  if (deadlineAt === undefined) return NOT_URGENT;
  const left = (deadlineAt - now) / 1_000;
  const at = URGENT_BELOW_SECONDS.findIndex((seconds) => left < seconds);
  return at >= 0 ? at : NOT_URGENT;
}
