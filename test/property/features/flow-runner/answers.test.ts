/**
 * Answers to published tasks, late, doubled and in any order, against a model that knows only what has happened: which attempt
 * was published when, and how each ended. The model says in sentences what each answer may do.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Answer,
  afterVerdict,
  decideAnswer,
  type PublishedAttempt,
  type PublishedTask,
  type Verdict,
} from '../../../../src/features/flow-runner/answers/domain.ts';

const MAX_ATTEMPTS = 3;
const SECOND = 1_000;

type Step =
  | { do: 'open' | 'publish' | 'time_out' | 'look' | 'cancel' }
  | { do: 'wait'; ms: number }
  | {
      do: 'answer';
      outcome: Answer['outcome'];
      of: number;
      names: 'nothing' | 'attempt' | 'token' | 'both' | 'other';
      tookMs: number;
    };

const steps = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.record({ do: fc.constantFrom('open' as const, 'publish' as const, 'look' as const) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('time_out' as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3 * SECOND }) }),
    },
    {
      weight: 24,
      arbitrary: fc.record({
        do: fc.constant('answer' as const),
        outcome: fc.constantFrom('done' as const, 'failed' as const),
        of: fc.integer({ min: 1, max: MAX_ATTEMPTS + 1 }),
        names: fc.constantFrom(...(['nothing', 'nothing', 'nothing', 'attempt', 'token', 'both', 'other'] as const)),
        tookMs: fc.integer({ min: 0, max: 4 * SECOND }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const) }) },
  ),
  { maxLength: 40 },
);

/** What has happened to an attempt, in the words of the promise. */
interface Happened {
  publishedAt: number | undefined;
  /** Undefined: it is open. */
  end: 'success' | 'failure' | 'timeout' | 'cancelled' | undefined;
  seen: boolean;
  late: boolean;
}

interface World {
  now: number;
  cancelled: boolean;
  /** The engine has gone by a success, or by the last failure. */
  final: boolean;
  attempts: Happened[];
}

const token = (n: number) => `token-${n}`;

/** The promise, sentence by sentence. */
function promised(world: World, answer: Answer): string {
  const { attempts } = world;
  const goesOn = !world.final && !world.cancelled;
  if (attempts.length === 0) return 'unknown';
  if (answer.attempt !== undefined || answer.leaseToken !== undefined) {
    // It counts for that attempt only.
    const index = attempts.findIndex(
      (_, at) =>
        (answer.attempt === undefined || answer.attempt === at) &&
        (answer.leaseToken === undefined || answer.leaseToken === token(at + 1)),
    );
    const one = attempts[index];
    if (one === undefined) return 'late';
    const isOpen = one.end === undefined && goesOn;
    if (answer.outcome === 'failed') return isOpen ? `fails ${index + 1}` : 'late';
    if (one.end === 'success' || one.late) return 'repeated';
    return isOpen ? `completes ${index + 1}` : `late_effect ${index + 1}`;
  }
  if (answer.outcome === 'done') {
    // It completes the task while that is not final, whichever attempt made it; the first success wins.
    if (attempts.some(({ end }) => end === 'success')) return 'repeated';
    const newest = attempts.length;
    const one = attempts[newest - 1];
    const isDoomed = one?.end !== undefined && one.seen && newest === MAX_ATTEMPTS;
    if (goesOn && !isDoomed)
      return one?.end !== undefined && one.seen ? `completes ${newest + 1}` : `completes ${newest}`;
    return one?.late === true ? 'repeated' : `late_effect ${newest}`;
  }
  // It counts for the newest published attempt, unless that is not open, or its work began more than 1 s before.
  const newest = attempts.findLastIndex(({ publishedAt }) => publishedAt !== undefined);
  const one = attempts[newest];
  if (one?.publishedAt === undefined || one.end !== undefined || !goesOn) return 'late';
  return answer.beganMs < one.publishedAt - SECOND ? 'late' : `fails ${newest + 1}`;
}

function spoken(verdict: Verdict): string {
  switch (verdict.is) {
    case 'completes':
    case 'fails':
    case 'late_effect':
      return `${verdict.is} ${verdict.attempt.number}`;
    case 'completes_next':
      return `completes ${verdict.after.number + 1}`;
    default:
      return verdict.is;
  }
}

function taskIn(world: World): PublishedTask {
  const attempts = world.attempts.map(
    ({ publishedAt, end, seen, late }, at): PublishedAttempt => ({
      ...{ id: `id-${at + 1}`, epoch: 1, number: at + 1, leaseToken: token(at + 1), publishedMs: publishedAt },
      state: end === undefined ? 'open' : end === 'success' ? 'completed' : 'ended',
      ...{ taken: seen, hasLateEffect: late },
    }),
  );
  return { epoch: 1, live: !world.final && !world.cancelled, maxAttempts: MAX_ATTEMPTS, attempts };
}

/** What happens beside answers, as far as it can happen now. */
function pass(world: World, step: Exclude<Step, { do: 'answer' }>): void {
  const newest = world.attempts.at(-1);
  switch (step.do) {
    case 'wait':
      world.now += step.ms;
      return;
    case 'cancel':
      world.cancelled = true;
      return;
    case 'open': {
      const isNext = newest === undefined || (newest.seen && newest.end !== 'success');
      if (!isNext || world.final || world.cancelled || world.attempts.length === MAX_ATTEMPTS) return;
      world.attempts.push({ publishedAt: undefined, end: undefined, seen: false, late: false });
      return;
    }
    case 'publish':
      if (newest !== undefined && newest.end === undefined) newest.publishedAt ??= world.now;
      return;
    case 'time_out':
      if (newest?.publishedAt !== undefined && newest.end === undefined && !world.cancelled) newest.end = 'timeout';
      return;
    case 'look':
      if (newest === undefined || newest.end === undefined || world.cancelled) return;
      newest.seen = true;
      if (newest.end === 'success' || world.attempts.length === MAX_ATTEMPTS) world.final = true;
  }
}

function answerOf(step: Extract<Step, { do: 'answer' }>, now: number): Answer {
  const { outcome, of, names, tookMs } = step;
  const attempt = names === 'attempt' || names === 'both' || names === 'other' ? of - 1 : undefined;
  const leaseToken = names === 'token' || names === 'both' ? token(of) : names === 'other' ? token(of + 1) : undefined;
  return { outcome, attempt, leaseToken, beganMs: now - tookMs };
}

function bringAbout(world: World, said: string): void {
  const [what, which] = said.split(' ');
  const at = Number(which) - 1;
  const one = world.attempts[at];
  if (what === 'completes') {
    if (one !== undefined) Object.assign(one, { end: 'success', seen: false });
    else world.attempts.push({ publishedAt: world.now, end: 'success', seen: false, late: false });
  } else if (what === 'fails' && one !== undefined) one.end = 'failure';
  else if (what === 'late_effect' && one !== undefined) one.late = true;
}

test('every answer does what is promised, whatever came before it', () => {
  fc.assert(
    fc.property(steps, (list) => {
      const world: World = { now: 1_000_000, cancelled: false, final: false, attempts: [] };
      for (const step of list) {
        world.now += 1;
        if (step.do !== 'answer') {
          pass(world, step);
          continue;
        }
        const answer = answerOf(step, world.now);
        const expected = promised(world, answer);
        const task = taskIn(world);
        const verdict = decideAnswer(answer, task);
        expect(spoken(verdict)).toBe(expected);
        bringAbout(world, expected);
        // The next answer of the same batch sees what the next batch would.
        const seen = (state: PublishedTask) =>
          state.attempts.map(({ number, state: how, hasLateEffect }) => [number, how, hasLateEffect]);
        expect(seen(afterVerdict(task, verdict))).toEqual(seen(taskIn(world)));
        // However often it comes, it counts once.
        const again = decideAnswer(answer, taskIn(world));
        if (answer.outcome === 'done') expect(['repeated', 'late', 'unknown']).toContain(again.is);
        else expect(again.is === 'fails').toBe(false);
        // No attempt but one succeeds.
        expect(world.attempts.filter(({ end }) => end === 'success').length).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('no success is lost: it completes the task, is written down as a late effect, or repeats what was', () => {
  fc.assert(
    fc.property(steps, (list) => {
      const world: World = { now: 1_000_000, cancelled: false, final: false, attempts: [] };
      let successes = 0;
      for (const step of list) {
        world.now += 1;
        if (step.do !== 'answer') pass(world, step);
        else {
          const answer = answerOf(step, world.now);
          const said = spoken(decideAnswer(answer, taskIn(world)));
          bringAbout(world, said);
          const isKnown = answer.leaseToken === undefined && answer.attempt === undefined && world.attempts.length > 0;
          if (answer.outcome === 'done' && isKnown) successes += 1;
        }
      }
      const known = world.attempts.filter(({ end, late }) => end === 'success' || late).length;
      expect(known > 0 || successes === 0).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});
