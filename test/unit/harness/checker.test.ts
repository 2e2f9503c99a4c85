/** The independent checker must see what is wrong: each test gives it a log or a table that tells of one fault. */
import { describe, expect, test } from 'vitest';
import { checkCalls, type Disturbance, type OutsideCall, type TaskRecord } from '../../harness/checker/calls.ts';
import { checkPromises, type Promised } from '../../harness/checker/promises.ts';
import type { Violation } from '../../harness/checker/rules.ts';

const NOON = 1_800_000_000_000;

function task(actionId: string, more: Partial<TaskRecord> = {}): TaskRecord {
  return {
    run_id: 'run',
    action_id: actionId,
    action_type: 'http_request',
    epoch: 1,
    status: 'completed',
    final: true,
    output: { status: 200, body: { n: 1 } },
    finished_ms: NOON + 1_000,
    depends_on: [],
    cached: false,
    effect_unknown: false,
    ...more,
  };
}
function call(actionId: string, more: Partial<OutsideCall> = {}): OutsideCall {
  const answer = { status: 200, body: { n: 1 } };
  return { key: `run.1.${actionId}`, body: { ask: 1 }, at: NOON, answer, ...more };
}
function disturbance(more: Partial<Disturbance> = {}): Disturbance {
  return { what: 'kill_worker', from: NOON + 100, to: NOON + 100, repeatsWork: true, holdsWork: false, ...more };
}
const ONCE = [{ key: 'run.1.a', attempts: 1 }];

function told(violations: Violation[]): string[] {
  return violations.map(({ invariant, rule }) => `${invariant} ${rule}`);
}

describe('outside calls', () => {
  test('one call, then its commit, is as it should be', () => {
    expect(checkCalls([call('a')], [task('a')], ONCE, [])).toEqual([]);
  });

  test('a call before the commit of a dependency is I3', () => {
    const tasks = [task('a'), task('b', { depends_on: ['a'] })];
    const calls = [call('a'), call('b', { at: NOON + 998 })];
    expect(told(checkCalls(calls, tasks, ONCE, []))).toEqual([
      'I3 no call is made before all dependencies are committed',
    ]);
    expect(checkCalls([call('a'), call('b', { at: NOON + 1_000 })], tasks, ONCE, [])).toEqual([]);
  });

  test('a call that is repeated without a reason is I6; with a fault, a lost lock or a recorded attempt it is not', () => {
    const twice = [call('a'), call('a', { at: NOON + 500 })];
    expect(told(checkCalls(twice, [task('a')], ONCE, []))).toEqual([
      'I6 a call is repeated only where a fault explains it',
    ]);
    expect(checkCalls(twice, [task('a')], ONCE, [disturbance()])).toEqual([]);
    expect(checkCalls(twice, [task('a')], ONCE, [disturbance({ key: 'run.1.a' })])).toEqual([]);
    expect(checkCalls(twice, [task('a')], ONCE, [disturbance({ key: 'run.1.b' })])).toHaveLength(1);
    expect(checkCalls(twice, [task('a')], ONCE, [disturbance({ from: NOON + 600, to: NOON + 700 })])).toHaveLength(1);
    expect(checkCalls(twice, [task('a')], ONCE, [disturbance({ repeatsWork: false })])).toHaveLength(1);
    expect(checkCalls(twice, [task('a')], [{ key: 'run.1.a', attempts: 2 }], [])).toEqual([]);
  });

  test('a call long after the commit is I6, unless its worker stood still', () => {
    const calls = [call('a'), call('a', { at: NOON + 9_000 })];
    const fault = disturbance({ from: NOON + 8_000, to: NOON + 8_500 });
    expect(told(checkCalls(calls, [task('a')], ONCE, [fault]))).toEqual(['I6 what is committed is not executed again']);
    expect(checkCalls(calls, [task('a')], ONCE, [{ ...fault, holdsWork: true }])).toEqual([]);
  });

  test('another body under the same key, a call of what never began, none of what completed, and one of no task are I6', () => {
    const other = [call('a'), call('a', { body: { ask: 2 } })];
    expect(told(checkCalls(other, [task('a')], [{ key: 'run.1.a', attempts: 2 }], []))).toEqual([
      'I6 every call with a key has the same body',
    ]);
    for (const status of ['skipped', 'upstream_failed']) {
      expect(told(checkCalls([call('a')], [task('a', { status })], ONCE, []))).toEqual([
        'I6 what never begins calls nobody',
      ]);
    }
    expect(told(checkCalls([], [task('a')], ONCE, []))).toEqual(['I6 what completed was called at least once']);
    expect(checkCalls([], [task('a', { cached: true })], ONCE, [])).toEqual([]);
    expect(told(checkCalls([call('x')], [], [], []))).toEqual(['I6 every call is one of a task that exists']);
  });

  test('an output that the service never gave is I7', () => {
    const output = { status: 200, body: { n: 2 } };
    expect(told(checkCalls([call('a')], [task('a', { output })], ONCE, []))).toEqual([
      'I7 a committed output is one that the service gave',
    ]);
  });
});

describe('promises', () => {
  const promised: Promised = {
    idempotencyKey: 'key',
    runIds: ['run'],
    cancelled: false,
    retried: false,
    expected: {
      status: 'completed',
      tasks: { a: { status: 'completed', output: { n: 1 }, attempts: { min: 1, max: 1 } } },
    },
    comparable: (_, output) => output,
    childOf: () => undefined,
  };
  const nobodys = { parent_run_id: null, parent_action_id: null };
  const run = { id: 'run', idempotency_key: 'key', status: 'completed', final: true, epoch: 1, ...nobodys };
  const done = task('a', { output: { n: 1 } });
  const attempts = [{ run_id: 'run', action_id: 'a', epoch: 1, attempts: 1 }];
  const check = (changed: { promised?: object; run?: object; task?: object; attempts?: number }) =>
    told(
      checkPromises(
        [{ ...promised, ...changed.promised }],
        [{ ...run, ...changed.run }],
        [{ ...done, ...changed.task }],
        attempts.map((one) => ({ ...one, attempts: changed.attempts ?? 1 })),
      ),
    );

  test('a run that ended as it had to is as it should be', () => {
    expect(check({})).toEqual([]);
  });

  test('a run that was accepted and is not there, or has not ended, is I1', () => {
    expect(check({ run: { id: 'another' } })).toEqual(['I1 every run that was answered with 202 is there']);
    expect(check({ run: { final: false } })).toEqual(['I1 every run that was answered with 202 ends']);
  });

  test('two runs for one key, a run with another key and a run that nobody asked for are I9', () => {
    expect(check({ promised: { runIds: ['run', 'twin'] } })).toContain('I9 every answer to one key names the same run');
    expect(check({ run: { idempotency_key: 'other' } })).toEqual([
      'I9 every run is one that somebody asked for',
      'I9 a run has the key that it was asked for with',
    ]);
  });

  test('another end than that of the plain evaluation is I4', () => {
    const ofRun = 'I4 a run ends as a plain evaluation of its graph';
    const ofTask = 'I4 a task ends as a plain evaluation of its graph';
    expect(check({ run: { status: 'failed' } })).toEqual([ofRun]);
    expect(check({ task: { status: 'failed' } })).toEqual([ofTask]);
    expect(check({ task: { output: { n: 2 } } })).toEqual([ofTask]);
    expect(check({ attempts: 2 })).toEqual([ofTask]);
    expect(check({ attempts: 2, promised: { retried: true } })).toEqual([]);
  });

  test('a cancelled run is held against the plain evaluation in what was not cancelled', () => {
    const cancelled = { run: { status: 'cancelled' }, promised: { cancelled: true } };
    expect(check({ ...cancelled, task: { status: 'cancelled', output: null }, attempts: 0 })).toEqual([]);
    expect(check(cancelled)).toEqual([]);
    expect(check({ ...cancelled, task: { output: { n: 2 } } })).toHaveLength(1);
    expect(check({ run: { status: 'cancelled' }, task: { status: 'cancelled' } })).toHaveLength(2);
    expect(check({ promised: { cancelled: true }, run: { status: 'failed' } })).toHaveLength(1);
  });

  test('a child that its parent was not to begin is I9, one that is open is I1, one that ended otherwise is I4', () => {
    const child = { ...run, id: 'child', idempotency_key: null, parent_run_id: 'run', parent_action_id: 'a' };
    const expected = { status: 'failed', tasks: {} };
    const foretold = {
      expected,
      comparable: (_: string, output: unknown) => output,
      childOf: () => undefined,
      alone: false,
    };
    const look = (changed: object, childOf: Promised['childOf']) =>
      told(checkPromises([{ ...promised, childOf }], [run, { ...child, ...changed }], [done], attempts));
    expect(look({ status: 'failed' }, () => foretold)).toEqual([]);
    expect(look({ status: 'failed' }, () => undefined)).toEqual(['I9 every run is one that somebody asked for']);
    expect(look({ final: false }, () => foretold)).toEqual(['I1 what a run has begun has ended too']);
    expect(look({}, () => foretold)).toEqual(['I4 a run ends as a plain evaluation of its graph']);
    // A cancelled run cancels the child that it waits for, and no other.
    const ofCancelled = (alone: boolean) => {
      const told = { ...promised, cancelled: true, childOf: () => ({ ...foretold, alone }) };
      return checkPromises([told], [run, { ...child, status: 'cancelled' }], [done], attempts);
    };
    expect(ofCancelled(false)).toEqual([]);
    expect(ofCancelled(true)).toHaveLength(1);
    expect(look({ parent_run_id: 'nobody' }, () => foretold)).toEqual(['I9 every run is one that somebody asked for']);
  });
});
