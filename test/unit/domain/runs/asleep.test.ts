/** Which runs sleep, decided from rows alone. */
import { describe, expect, test } from 'vitest';
import { makePlan } from '../../../../src/domain/graph/plan.ts';
import { type SleepingTask, sleepOf } from '../../../../src/domain/runs/asleep.ts';
import { definitionOf } from '../../../harness/dags.ts';

const NOW = 1_000_000;
const MINUTE = 60_000;
const at = (ms: number) => new Date(ms);

function task(actionId: string, values: Partial<SleepingTask> = {}): [string, SleepingTask] {
  const asleep = {
    status: 'waiting',
    final: false,
    wakes: 0,
    wakesSeen: 0,
    notBefore: null,
    parentId: null,
    released: false,
  };
  return [actionId, { actionId, ...asleep, ...values }];
}
const done = (actionId: string) => task(actionId, { status: 'completed', final: true });
const running = (actionId: string) => task(actionId, { status: 'running' });

/** `b` and `c` after `a`, `d` after both. */
const DIAMOND = makePlan(definitionOf({ a: [], b: ['a'], c: ['a'], d: ['b', 'c'] }));
const ONE = makePlan(definitionOf({ a: [] }));
const of = (plan: typeof ONE, ...tasks: Array<[string, SleepingTask]>) => sleepOf(plan, new Map(tasks), NOW);

describe('a run sleeps', () => {
  test('without an end when its task is to be woken', () => {
    expect(of(ONE, task('a'))).toEqual({ untilMs: undefined, forRun: false, tasks: ['a'] });
  });

  test('until the first of its tasks is due', () => {
    const b = task('b', { notBefore: at(NOW + 2 * MINUTE) });
    const c = task('c', { status: 'retrying', notBefore: at(NOW + MINUTE) });
    expect(of(DIAMOND, done('a'), b, c)).toEqual({ untilMs: NOW + MINUTE, forRun: false, tasks: ['b', 'c'] });
  });

  test('when all items that are under way do', () => {
    const plan = makePlan(definitionOf({ a: [] }, () => ({ for_each: { items: [1, 2, 3], on_item_failure: 'fail' } })));
    const part = (position: number, values: Partial<SleepingTask> = {}) =>
      task(`a[${position}]`, { parentId: 'a', released: true, ...values });
    const later = part(2, { released: false, status: 'pending' });
    expect(of(plan, task('a'), part(0), part(1), later)).toMatchObject({ tasks: ['a[0]', 'a[1]'] });
    expect(of(plan, task('a'), part(0), part(1, { status: 'running' }))).toBeUndefined();
    expect(of(plan, task('a'), part(0), part(1, { status: 'pending' }))).toBeUndefined();
    expect(of(plan, task('a', { wakes: 1 }), part(0))).toBeUndefined();
    expect(of(plan, task('a'), part(0, { final: true, status: 'completed' }))).toBeUndefined();
  });

  test('for another run, and says so', () => {
    const plan = makePlan(definitionOf({ a: [] }, () => ({ action_type: 'workflow' })));
    expect(of(plan, task('a'))).toMatchObject({ forRun: true });
  });
});

describe('a run does not sleep', () => {
  test.each([
    ['while one branch runs', [done('a'), task('b'), running('c')]],
    ['while a task that is ready has no row: it may be about to begin', [done('a'), task('b')]],
    ['when something is to be woken', [done('a'), task('b'), task('c', { wakes: 1 })]],
    ['when something was put off for a moment', [done('a'), task('b'), task('c', { wakesSeen: -1 })]],
    ['when something is due', [done('a'), task('b'), task('c', { notBefore: at(NOW - 1) })]],
    ['for a moment', [done('a'), task('b'), task('c', { notBefore: at(NOW + 4_999) })]],
    ['when everything is final', [done('a'), done('b'), done('c'), done('d')]],
    ['when the end of a backoff is not known', [done('a'), task('b'), task('c', { status: 'retrying' })]],
  ] as const)('%s', (_, tasks) => {
    expect(of(DIAMOND, ...tasks)).toBeUndefined();
  });
});
