/**
 * What an answer to a published task means, decided from the attempts that there are. Answers come late, twice and in any
 * order, and older executors name neither attempt nor token.
 */

/** Work that began so long before its attempt was published may still be of it: clocks differ. */
export const CLOCK_TOLERANCE_MS = 1_000;

export interface Answer {
  outcome: 'done' | 'failed';
  /** Of the attempt that it counts for. */
  leaseToken: string | undefined;
  /** From 0, as messages count; likewise. */
  attempt: number | undefined;
  /** Milliseconds since 1970: when the work on it began. */
  beganMs: number;
}

export interface PublishedAttempt {
  id: string;
  epoch: number;
  /** From 1. */
  number: number;
  leaseToken: string | null;
  /** Milliseconds since 1970; undefined: its message is still in the outbox. */
  publishedMs: number | undefined;
  /** `ended`: without a success. */
  state: 'open' | 'completed' | 'ended';
  /** The engine knows how it ended, and goes by that. */
  taken: boolean;
  /** A success came after its end, and is written down. */
  hasLateEffect: boolean;
}

export interface PublishedTask {
  /** Of its run. */
  epoch: number;
  /** Its run goes on, and it has not ended. */
  live: boolean;
  maxAttempts: number;
  /** By epoch and number. */
  attempts: readonly PublishedAttempt[];
}

export type Verdict =
  | { is: 'completes' | 'fails' | 'late_effect'; attempt: PublishedAttempt }
  /** The success is that of the attempt which would follow this one. */
  | { is: 'completes_next'; after: PublishedAttempt }
  /** It has been counted before. */
  | { is: 'repeated' }
  /** It came after what it counts for had ended, and nothing follows from it. */
  | { is: 'late' }
  | { is: 'unknown' };

const REPEATED: Verdict = { is: 'repeated' };
const LATE: Verdict = { is: 'late' };

/** `task`: undefined or without attempts: nothing was published of it. */
export function decideAnswer(answer: Answer, task: PublishedTask | undefined): Verdict {
  if (task === undefined || task.attempts.length === 0) return { is: 'unknown' };
  const isNamed = answer.leaseToken !== undefined || answer.attempt !== undefined;
  if (isNamed) {
    const attempt = task.attempts.find((one) => isMeant(answer, task, one));
    if (attempt === undefined) return LATE;
    return answer.outcome === 'done' ? doneOf(attempt, task) : failedOf(attempt, task);
  }
  return answer.outcome === 'done' ? anyDone(task) : newestFailed(answer, task);
}

function isMeant(answer: Answer, task: PublishedTask, { leaseToken, epoch, number }: PublishedAttempt): boolean {
  if (answer.attempt !== undefined && number !== answer.attempt + 1) return false;
  return answer.leaseToken === undefined ? epoch === task.epoch : leaseToken === answer.leaseToken;
}

function mayEnd({ epoch, state }: PublishedAttempt, task: PublishedTask): boolean {
  return task.live && epoch === task.epoch && state === 'open';
}

function doneOf(attempt: PublishedAttempt, task: PublishedTask): Verdict {
  if (attempt.state === 'completed' || attempt.hasLateEffect) return REPEATED;
  return { is: mayEnd(attempt, task) ? 'completes' : 'late_effect', attempt };
}

function failedOf(attempt: PublishedAttempt, task: PublishedTask): Verdict {
  return mayEnd(attempt, task) ? { is: 'fails', attempt } : LATE;
}

/** The effect has happened, whichever attempt brought it about: the first success wins. */
function anyDone(task: PublishedTask): Verdict {
  const ofEpoch = task.attempts.filter(({ epoch }) => epoch === task.epoch);
  const newest = ofEpoch.at(-1) ?? task.attempts.at(-1);
  if (newest === undefined) return { is: 'unknown' };
  if (ofEpoch.some(({ state }) => state === 'completed')) return REPEATED;
  if (!task.live || newest.epoch !== task.epoch) return doneOf(newest, task);
  const open = ofEpoch.findLast(({ state }) => state === 'open');
  if (open !== undefined) return { is: 'completes', attempt: open };
  // The engine has not seen that it failed, and shall see that it succeeded.
  if (!newest.taken) return { is: 'completes', attempt: newest };
  if (newest.number < task.maxAttempts) return { is: 'completes_next', after: newest };
  // It was the last one: the task is about to fail.
  return doneOf(newest, task);
}

function newestFailed({ beganMs }: Answer, task: PublishedTask): Verdict {
  const published = task.attempts.filter(({ epoch, publishedMs }) => epoch === task.epoch && publishedMs !== undefined);
  const newest = published.at(-1);
  if (newest?.publishedMs === undefined || beganMs < newest.publishedMs - CLOCK_TOLERANCE_MS) return LATE;
  return failedOf(newest, task);
}

/** What the attempts are after the verdict, for the next answer of the same batch. */
export function afterVerdict(task: PublishedTask, verdict: Verdict): PublishedTask {
  switch (verdict.is) {
    case 'completes':
      return withAttempt(task, { ...verdict.attempt, state: 'completed' });
    case 'fails':
      return withAttempt(task, { ...verdict.attempt, state: 'ended', taken: false });
    case 'late_effect':
      return withAttempt(task, { ...verdict.attempt, hasLateEffect: true });
    case 'completes_next': {
      const { after } = verdict;
      const next: PublishedAttempt = {
        ...after,
        id: '',
        number: after.number + 1,
        leaseToken: null,
        state: 'completed',
      };
      return { ...task, attempts: [...task.attempts, next] };
    }
    case 'repeated':
    case 'late':
    case 'unknown':
      return task;
  }
}

function withAttempt(task: PublishedTask, changed: PublishedAttempt): PublishedTask {
  return { ...task, attempts: task.attempts.map((one) => (one.id === changed.id ? changed : one)) };
}
