/**
 * Every cause for which a run may not be finished. The order is that of their weight: what is broken comes before what is
 * only slow, and that before what waits as it was asked to. Each has a section of docs/diagnosis.md.
 */
import type { Json, JsonObject } from '../../schemas/json.ts';

export const CAUSE_CODES = [
  // Something is broken, and somebody has to repair it.
  'database_not_usable',
  'statements_failing',
  'deliveries_failing',
  'background_work_failing',
  'no_progress',
  'database_blocked',
  'queue_unreachable',
  'queue_not_writable',
  'queue_full',
  'no_worker',
  'sweep_stopped',
  'jobs_missing',
  'worker_lost',
  'suspected_poison',
  'lane_without_worker',
  'worker_too_old',
  'held_in_queue',
  'kafka_unreachable',
  'over_timeout',
  // Somebody paused it, or a service does not do its part.
  'lane_paused',
  'run_paused',
  'circuit_open',
  'retrying',
  'child_run',
  'external_no_worker',
  'task_queue_no_answer',
  'approval',
  'signal',
  // It goes on by itself.
  'concurrency',
  'admission_window',
  'outbox_waiting',
  'external_leased',
  'service_turn',
  'service_busy',
  'lane_busy',
  'cancelling',
  'compensating',
  'ending',
  'not_dispatched',
  'starting',
  'running',
  'parts',
  'woken',
  'run_delayed',
  'timer',
  'delay',
  'dependencies',
  // It has ended.
  'task_failed',
  'timed_out',
  'cancelled',
  'compensation_failed',
  'compensated',
  'failed',
  'completed',
] as const;
/** Those of features start with the name of theirs: `hello.not_greeted`. They weigh as what waits for somebody outside. */
export type CauseCode = (typeof CAUSE_CODES)[number] | `${string}.${string}`;

/** Of the causes up to here nothing gets better by itself, or only after long. */
const LAST_BROKEN: CauseCode = 'over_timeout';

export interface Cause {
  code: CauseCode;
  message: string;
  data: JsonObject;
  /** Points in time, by their name in the answer. */
  times?: Readonly<Record<string, number | undefined>>;
  since?: number | undefined;
  /** When it is expected to go on by itself. */
  until?: number | undefined;
  todo: string;
  /** Of the run below. */
  child?: Explanation | undefined;
}

/** A waiting task, as the wait causes of features get it. Times are milliseconds of the database's clock. */
export interface WaitingTask {
  actionId: string;
  actionType: string;
  since: number;
  /** When it is woken at the latest. */
  wakeAt: number | undefined;
  now: number;
}

/** Of a feature; undefined: it is none of its tasks. */
export type WaitCause = (task: WaitingTask) => Cause | undefined;

export interface TaskCause {
  actionId: string;
  actionType: string;
  status: string;
  cause: Cause;
  /** What else is not as it should be. */
  also: Cause[];
}

export interface Explanation {
  finished: boolean;
  summary: string;
  root: Cause;
  /** What could go on first, the heaviest causes first. */
  tasks: TaskCause[];
  more: number;
}

export function weightOf(code: CauseCode): number {
  return (CAUSE_CODES as readonly string[]).indexOf(code.includes('.') ? 'signal' : code);
}

export function isBroken(code: CauseCode): boolean {
  return weightOf(code) <= weightOf(LAST_BROKEN);
}

/** The heaviest first; of equals the one that was there first. */
export function byWeight(a: Cause, b: Cause): number {
  return weightOf(a.code) - weightOf(b.code);
}

export function cause(
  code: CauseCode,
  message: string,
  todo: string,
  more: Partial<Omit<Cause, 'code' | 'message' | 'todo'>> = {},
): Cause {
  return { code, message, todo, ...more, data: more.data ?? {} };
}

/** `3 s`, `12 min`, `5 h`, `2 d`. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

export function listed(names: readonly string[], atMost = 5): string {
  const shown = names.slice(0, atMost).map((name) => `'${name}'`);
  const rest = names.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

export function orNull(value: Json | undefined): Json {
  return value ?? null;
}
