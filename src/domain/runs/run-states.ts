/**
 * The states of runs and of their tasks: which there are, and which moves lead from one to another. Whoever needs a set of
 * them takes it from here; the conditions of statements are made from it too (`store/core/states.ts`). The rows say `final`
 * besides, and what is no status at all: which epoch it is, whether a run sleeps, which worker has a task.
 */
import type { z } from 'zod';
import type { runStatus, taskStatus } from '../../schemas/requests.ts';

interface RunState {
  /** It has ended. Only a retry, a rerun, or the compensation of a late effect starts it again, in another epoch. */
  final: boolean;
  /** Jobs of it are in the queue; the reconciler checks it, and it counts in the window. Of one that waits its row says so. */
  underWay: boolean;
  /** Ended without what it was for, and nobody called it off. */
  failed: boolean;
}

/** Their names are those that clients read. */
export const RUN_STATES = {
  /** Accepted, and not yet in the queue. */
  pending: { final: false, underWay: false, failed: false },
  queued: { final: false, underWay: true, failed: false },
  running: { final: false, underWay: true, failed: false },
  /** Nothing of it goes on until a time, a person, a message or another run. */
  waiting: { final: false, underWay: false, failed: false },
  /** Starts nothing until somebody resumes it. */
  paused: { final: false, underWay: false, failed: false },
  /** Called off, or its deadline has passed: what runs is aborted, nothing starts. */
  cancelling: { final: false, underWay: true, failed: false },
  /** What it did is being compensated. */
  compensating: { final: false, underWay: true, failed: false },
  completed: { final: true, underWay: false, failed: false },
  failed: { final: true, underWay: false, failed: true },
  cancelled: { final: true, underWay: false, failed: false },
  timed_out: { final: true, underWay: false, failed: true },
  compensated: { final: true, underWay: false, failed: true },
  /** Something of it could not be compensated. */
  compensation_failed: { final: true, underWay: false, failed: true },
} as const satisfies Record<z.infer<typeof runStatus>, RunState>;

export type RunStatus = keyof typeof RUN_STATES;
export type FinalRunStatus = FinalIn<typeof RUN_STATES>;
export type OpenRunStatus = Exclude<RunStatus, FinalRunStatus>;

interface TaskState {
  final: boolean;
  /** Nothing of it goes on until a time comes or something wakes it. */
  sleeps: boolean;
  /** It is as it should be: a retry of the run does not run it again. */
  stands: boolean;
}

export const TASK_STATES = {
  /** It has a row before its first delivery: an item, a compensation, one that was woken early or is to be done again. */
  pending: { final: false, sleeps: false, stands: false },
  running: { final: false, sleeps: false, stands: false },
  waiting: { final: false, sleeps: true, stands: false },
  /** An attempt failed, and another one follows. */
  retrying: { final: false, sleeps: true, stands: false },
  completed: { final: true, sleeps: false, stands: true },
  failed: { final: true, sleeps: false, stands: false },
  skipped: { final: true, sleeps: false, stands: true },
  cancelled: { final: true, sleeps: false, stands: false },
  /** Something that it depends on did not complete. */
  upstream_failed: { final: true, sleeps: false, stands: false },
} as const satisfies Record<z.infer<typeof taskStatus>, TaskState>;

export type TaskStatus = keyof typeof TASK_STATES;
export type FinalTaskStatus = FinalIn<typeof TASK_STATES>;
export type OpenTaskStatus = Exclude<TaskStatus, FinalTaskStatus>;

type FinalIn<Table> = { [Status in keyof Table]: Table[Status] extends { final: true } ? Status : never }[keyof Table];

export const RUN_STATUSES: readonly RunStatus[] = keysOf(RUN_STATES);
export const TASK_STATUSES: readonly TaskStatus[] = keysOf(TASK_STATES);

const OPEN_RUN_STATUSES: readonly RunStatus[] = RUN_STATUSES.filter((status) => !RUN_STATES[status].final);
export const FINAL_RUN_STATUSES: readonly RunStatus[] = RUN_STATUSES.filter((status) => RUN_STATES[status].final);
export const RUNS_UNDER_WAY: readonly RunStatus[] = RUN_STATUSES.filter((status) => RUN_STATES[status].underWay);
export const FAILED_RUNS: readonly RunStatus[] = RUN_STATUSES.filter((status) => RUN_STATES[status].failed);
/** They still take what their tasks wait for: signals, decisions. */
export const RECEPTIVE_RUNS: readonly RunStatus[] = OPEN_RUN_STATUSES.filter((status) => status !== 'cancelling');

const OPEN_TASK_STATUSES: readonly TaskStatus[] = TASK_STATUSES.filter((status) => !TASK_STATES[status].final);
const FINAL_TASK_STATUSES: readonly TaskStatus[] = TASK_STATUSES.filter((status) => TASK_STATES[status].final);
export const STARTED_TASKS: readonly TaskStatus[] = OPEN_TASK_STATUSES.filter((status) => status !== 'pending');
export const SLEEPING_TASKS: readonly TaskStatus[] = TASK_STATUSES.filter((status) => TASK_STATES[status].sleeps);
export const STANDING_TASKS: readonly TaskStatus[] = TASK_STATUSES.filter((status) => TASK_STATES[status].stands);
/** Ended by what came of executing them. */
export const EXECUTED_TASKS: readonly TaskStatus[] = ['completed', 'failed'];
/** Ended by what became of others, without ever being executed. */
export const NEVER_RUN_TASKS: readonly TaskStatus[] = ['skipped', 'upstream_failed'];
/** What an attempt that failed leaves its task in. */
export const AFTER_FAILED_ATTEMPT: readonly TaskStatus[] = ['failed', 'retrying'];

interface Move<Status> {
  from: readonly Status[];
  to: readonly Status[];
}

/** By what happens to a run. Whoever makes a move has it locked, or names the statuses in the condition of its statement. */
export const RUN_MOVES = {
  queue: { from: ['pending'], to: ['queued'] },
  /** The marks of the queue and of the first tasks come in batches, and may overtake each other. */
  start: { from: ['pending', 'queued'], to: ['running'] },
  fallAsleep: { from: ['pending', 'queued', 'running'], to: ['waiting'] },
  rouse: { from: ['waiting'], to: ['running'] },
  pause: { from: ['pending', 'queued', 'running', 'waiting'], to: ['paused'] },
  resume: { from: ['paused'], to: ['pending', 'running'] },
  /** By somebody, or by its deadline. */
  cancel: { from: ['pending', 'queued', 'running', 'waiting', 'paused'], to: ['cancelling'] },
  /** Cancelled, to make room for the next one in its group. A compensation has to be finished: it keeps its slot until then. */
  replace: { from: ['pending', 'queued', 'running', 'waiting', 'paused'], to: ['cancelling'] },
  compensate: { from: OPEN_RUN_STATUSES.filter((status) => status !== 'compensating'), to: ['compensating'] },
  /** All of its actions are final. What runs of a paused one goes on to its end, which may be that of the run. */
  end: { from: ['pending', 'queued', 'running', 'waiting', 'paused'], to: ['completed', 'failed'] },
  endCancelled: { from: ['cancelling'], to: ['cancelled', 'timed_out'] },
  endCompensated: { from: ['compensating'], to: ['compensated', 'compensation_failed'] },
  /** Paused: with the run of the task that waits for it. */
  retry: { from: ['failed', 'cancelled', 'timed_out'], to: ['pending', 'paused'] },
  rerun: { from: ['failed', 'cancelled', 'timed_out', 'completed'], to: ['pending', 'paused'] },
  retryCompensation: { from: ['compensation_failed'], to: ['compensating'] },
  /** An effect has shown after the end. What a run did that completed stays. */
  compensateLate: {
    from: ['failed', 'cancelled', 'timed_out', 'compensated', 'compensation_failed'],
    to: ['compensating'],
  },
} as const satisfies Record<string, Move<RunStatus>>;

export type RunMove = keyof typeof RUN_MOVES;

/** Of tasks the fencing token decides who may move them; of what is final nobody moves anything but a retry. */
export const TASK_MOVES = {
  start: { from: OPEN_TASK_STATUSES, to: ['running'] },
  wait: { from: OPEN_TASK_STATUSES, to: ['waiting'] },
  retry: { from: OPEN_TASK_STATUSES, to: ['retrying'] },
  end: { from: OPEN_TASK_STATUSES, to: FINAL_TASK_STATUSES },
  reopen: { from: FINAL_TASK_STATUSES, to: ['pending'] },
} as const satisfies Record<string, Move<TaskStatus>>;

/** The open statuses that this move does not lead from. */
export function barredFrom(move: RunMove): readonly RunStatus[] {
  const from: readonly RunStatus[] = RUN_MOVES[move].from;
  return OPEN_RUN_STATUSES.filter((status) => !from.includes(status));
}

function keysOf<Key extends string>(table: Readonly<Record<Key, unknown>>): Key[] {
  return Object.keys(table) as Key[]; // A literal above: it has no other keys than its type.
}
