/**
 * What the outside saw, held against what is committed: I3, I6 and I7. Pure, so that it can be tested with a log that lies.
 *
 * A call may be made twice for one attempt, but only where something explains it: a fault, or a lock that was seen to be
 * lost, between the call and its repetition.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Violation } from './rules.ts';

export interface OutsideCall {
  /** `<run>.<epoch>.<action>`, as it was sent. */
  key: string | undefined;
  body: unknown;
  /** Date.now() of the arrival. */
  at: number;
  /** Undefined: never given. */
  answer: { status: number; body: unknown } | undefined;
}

/** A time, in Date.now(), in which work may have been lost or held up. */
export interface Disturbance {
  what: string;
  from: number;
  to: number;
  /** A task under way may be executed again. */
  repeatsWork: boolean;
  /** A process may stand still between two steps for that long. */
  holdsWork: boolean;
  /** Only the task with this key; every one when left out. */
  key?: string;
}

export interface TaskRecord {
  run_id: string;
  action_id: string;
  action_type: string;
  epoch: number;
  status: string;
  final: boolean;
  output: unknown;
  /** As Date.now(). */
  finished_ms: number | null;
  depends_on: readonly string[];
  /** It was executed, and nobody heard how that ended. */
  effect_unknown: boolean;
  /** Its output was taken from another run, which called. */
  cached: boolean;
}
export interface AttemptCount {
  key: string;
  attempts: number;
}

/** Clocks: the database rounds to a millisecond. */
const ROUNDING_MS = 1;
/** What a lost lock, a new connection or a new start may take until the work is given out again. */
const AFTERMATH_MS = 3_000;
/** From the look-up of a task to its call, on a machine that is busy with other things. */
const LOOK_UP_TO_CALL_MS = 3_000;
const CALLS_OUT = 'http_request';

export function checkCalls(
  calls: readonly OutsideCall[],
  tasks: readonly TaskRecord[],
  attempts: readonly AttemptCount[],
  disturbances: readonly Disturbance[],
): Violation[] {
  const byKey = groupBy(calls, ({ key }) => key ?? '');
  const taskByName = new Map(tasks.map((task) => [nameOf(task.run_id, task.action_id), task]));
  const attemptsOf = new Map(attempts.map(({ key, attempts: count }) => [key, count]));
  const found = createFindings();

  for (const [key, ofKey] of byKey) {
    const name = parseKey(key);
    const task = name === undefined ? undefined : taskByName.get(nameOf(name.runId, name.actionId));
    if (name === undefined || task === undefined || name.epoch > task.epoch) {
      found.add('I6', 'every call is one of a task that exists', { key, calls: ofKey.length });
      continue;
    }
    const [first] = ofKey;
    for (const { at, body } of ofKey) {
      if (!isDeepStrictEqual(body, first?.body)) {
        found.add('I6', 'every call with a key has the same body', { key, body, first: first?.body, at });
      }
    }
    const allowed = explainedRepeats(key, ofKey, disturbances);
    const extra = ofKey.length - Math.max(1, attemptsOf.get(key) ?? 0);
    if (extra > allowed) {
      found.add('I6', 'a call is repeated only where a fault explains it', {
        ...{ key, calls: ofKey.map(({ at }) => at), attempts: attemptsOf.get(key) ?? 0, explained: allowed },
      });
    }
    if (name.epoch !== task.epoch) continue;
    if (task.status === 'skipped' || task.status === 'upstream_failed') {
      found.add('I6', 'what never begins calls nobody', { key, status: task.status, calls: ofKey.length });
    }
    for (const late of ofKey) {
      if (task.final && task.finished_ms !== null && isTooLate(late.at, task.finished_ms, disturbances)) {
        found.add('I6', 'what is committed is not executed again', { key, call: late.at, committed: task.finished_ms });
      }
    }
    const begun = Math.min(...ofKey.map(({ at }) => at));
    for (const dependency of task.depends_on) {
      const before = taskByName.get(nameOf(task.run_id, dependency));
      if (before?.finished_ms == null || begun < before.finished_ms - ROUNDING_MS) {
        const committed = before?.finished_ms ?? null;
        found.add('I3', 'no call is made before all dependencies are committed', { key, dependency, begun, committed });
      }
    }
  }

  for (const task of tasks) {
    if (task.action_type !== CALLS_OUT || task.status !== 'completed' || task.cached) continue;
    const key = `${task.run_id}.${task.epoch}.${task.action_id}`;
    const answers = (byKey.get(key) ?? []).flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
    if (!byKey.has(key)) found.add('I6', 'what completed was called at least once', { key });
    else if (!answers.some(({ body }) => isDeepStrictEqual(body, bodyOf(task.output)))) {
      found.add('I7', 'a committed output is one that the service gave', {
        ...{ key, output: bodyOf(task.output), answers: answers.map(({ body }) => body) },
      });
    }
  }
  return found.all();
}

/** In how many of the pauses between two calls something happened that repeats work. */
function explainedRepeats(key: string, calls: readonly OutsideCall[], disturbances: readonly Disturbance[]): number {
  const times = calls.map(({ at }) => at).sort((a, b) => a - b);
  return times.slice(1).filter((until, index) => {
    const from = times[index] ?? until;
    return disturbances.some(
      (one) =>
        one.repeatsWork &&
        (one.key === undefined || one.key === key) &&
        one.from <= until &&
        one.to + AFTERMATH_MS >= from,
    );
  }).length;
}

function isTooLate(at: number, committed: number, disturbances: readonly Disturbance[]): boolean {
  if (at <= committed + LOOK_UP_TO_CALL_MS) return false;
  return !disturbances.some((one) => one.holdsWork && one.from <= at && one.to + LOOK_UP_TO_CALL_MS >= at);
}

export function parseKey(key: string): { runId: string; epoch: number; actionId: string } | undefined {
  const parts = /^([^.]+)\.(\d+)\.(.+)$/s.exec(key);
  return parts === null ? undefined : { runId: parts[1] ?? '', epoch: Number(parts[2]), actionId: parts[3] ?? '' };
}

function nameOf(runId: string, actionId: string): string {
  return `${runId}.${actionId}`;
}

function bodyOf(output: unknown): unknown {
  return typeof output === 'object' && output !== null && 'body' in output ? output.body : undefined;
}

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** Rows of the same rule belong together. */
export function createFindings(): {
  add(invariant: Violation['invariant'], rule: string, row: object): void;
  all(): Violation[];
} {
  const found = new Map<string, Violation>();
  return {
    add(invariant, rule, row) {
      const known = found.get(rule) ?? { invariant, rule, rows: [] };
      known.rows.push(row);
      found.set(rule, known);
    },
    all: () => [...found.values()],
  };
}
