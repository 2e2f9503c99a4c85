/** What travels together through a delivery: the job, the task that it is for, and the attempt that comes of it. */
import type { Plan, PlannedAction } from '../../domain/graph/plan.ts';
import type { Delivery } from '../ports/queue.ts';
import type { LiveRun, Lookup, RunRow } from '../ports/rows.ts';

/** A delivered job, and what the plan says of its action. */
export interface TaskJob {
  delivery: Delivery;
  plan: Plan;
  planned: PlannedAction;
}

/** A task whose run is there, in the epoch of the job, with what is committed of both. */
export interface FoundTask extends TaskJob {
  run: RunRow;
  found: Lookup;
}

/** An attempt in the hands of this delivery, with the fencing token that its commits carry. */
export interface Attempt extends FoundTask {
  run: LiveRun;
  /** 1 first, counted over all deliveries of this epoch. */
  number: number;
  fence: number;
  /** An earlier delivery of this attempt may have executed it; nobody heard how that ended. */
  mayHaveRun: boolean;
  /** Where its output is looked for and cached; undefined: nowhere. */
  cacheKey?: string | undefined;
  /** What it is executed with, as JSON text; null where that is not stored, or nothing was executed. */
  input: string | null;
  /** The values that are masked in whatever is said of it. */
  secrets: readonly string[];
  /** performance.now() of the start; null where nothing was executed. */
  startedMono: number | null;
}

/** What it is executed with, and when that started. */
type Execution = Pick<Attempt, 'cacheKey' | 'input' | 'secrets' | 'startedMono'>;

/** What an attempt has of which nothing was executed, or of which nothing is to be said. */
export const NOT_EXECUTED: Execution = { cacheKey: undefined, input: null, secrets: [], startedMono: null };

/** Nothing of it is executed yet. */
export function attemptOf(
  { delivery, plan, planned, found }: TaskJob & { found: Lookup },
  run: LiveRun,
  { fence, mayHaveRun }: Pick<Attempt, 'fence' | 'mayHaveRun'>,
): Attempt {
  const number = attemptNumber(found, planned.action.action_id);
  return executedWith({ delivery, plan, planned, run, found, number, fence, mayHaveRun }, NOT_EXECUTED);
}

/** Written out: a copy by spread takes several times as long, and this is done for every task. */
export function executedWith(
  { delivery, plan, planned, run, found, number, fence, mayHaveRun }: Omit<Attempt, keyof Execution>,
  { cacheKey, input, secrets, startedMono }: Execution,
): Attempt {
  return {
    delivery,
    plan,
    planned,
    run,
    found,
    number,
    fence,
    mayHaveRun,
    cacheKey,
    input,
    secrets,
    startedMono,
  };
}

export function attemptNumber({ tasks }: Lookup, actionId: string): number {
  return (tasks.get(actionId)?.endedAttempt ?? 0) + 1;
}
