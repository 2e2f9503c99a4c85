import { describe, expect, test } from 'vitest';
import type { RunIf } from '../../../../src/domain/definition/definition.ts';
import { type Dependency, decide, type TaskState } from '../../../../src/domain/runs/decide.ts';
import type { OpenRunStatus } from '../../../../src/domain/runs/run-states.ts';

const STATES = {
  completed: { final: true, status: 'completed' },
  skipped: { final: true, status: 'skipped' },
  failed: { final: true, status: 'failed', tolerated: false },
  let_go: { final: true, status: 'failed', tolerated: true },
  cancelled: { final: true, status: 'cancelled' },
  upstream_failed: { final: true, status: 'upstream_failed' },
  open: { final: false },
  not_begun: undefined,
} satisfies Record<string, TaskState | undefined>;
type Named = keyof typeof STATES;

const dependencies = (names: readonly Named[]): Dependency[] =>
  names.map((name, index) => ({ actionId: `${name}_${index}`, state: STATES[name] }));
const outcome = (runIf: RunIf, names: readonly Named[], runStatus: OpenRunStatus = 'running') => {
  const decision = decide(runIf, dependencies(names), runStatus);
  return decision.next === 'end' ? decision.status : decision.next;
};

// What the contract says of run_if: what its dependencies are, then all_succeeded, all_done, any_succeeded.
const TABLE: Array<[Named[], string, string, string]> = [
  [[], 'run', 'run', 'run'],
  [['completed'], 'run', 'run', 'run'],
  [['skipped'], 'skipped', 'run', 'skipped'],
  [['failed'], 'upstream_failed', 'run', 'upstream_failed'],
  [['let_go'], 'run', 'run', 'upstream_failed'],
  [['cancelled'], 'upstream_failed', 'run', 'upstream_failed'],
  [['upstream_failed'], 'upstream_failed', 'run', 'upstream_failed'],
  [['completed', 'completed'], 'run', 'run', 'run'],
  [['completed', 'skipped'], 'run', 'run', 'run'],
  [['completed', 'failed'], 'upstream_failed', 'run', 'run'],
  [['completed', 'let_go'], 'run', 'run', 'run'],
  [['completed', 'cancelled'], 'upstream_failed', 'run', 'run'],
  [['completed', 'upstream_failed'], 'upstream_failed', 'run', 'run'],
  [['skipped', 'skipped'], 'skipped', 'run', 'skipped'],
  [['skipped', 'failed'], 'upstream_failed', 'run', 'upstream_failed'],
  [['skipped', 'let_go'], 'run', 'run', 'upstream_failed'],
  [['let_go', 'let_go'], 'run', 'run', 'upstream_failed'],
  [['failed', 'let_go'], 'upstream_failed', 'run', 'upstream_failed'],
];

describe.each(TABLE)('after %j', (names, allSucceeded, allDone, anySucceeded) => {
  test(`all_succeeded gives ${allSucceeded}, all_done ${allDone}, any_succeeded ${anySucceeded}, in any order`, () => {
    for (const order of [names, [...names].reverse()]) {
      expect(outcome('all_succeeded', order)).toBe(allSucceeded);
      expect(outcome('all_done', order)).toBe(allDone);
      expect(outcome('any_succeeded', order)).toBe(anySucceeded);
    }
  });
});

describe.each(['all_succeeded', 'all_done', 'any_succeeded'] as const)('with %s', (runIf) => {
  test('nothing is decided before every dependency is final', () => {
    for (const open of ['open', 'not_begun'] as const) {
      expect(decide(runIf, dependencies(['completed', open]), 'running')).toEqual({
        next: 'not_ready',
        waitsFor: `${open}_1`,
      });
      expect(outcome(runIf, ['failed', open])).toBe('not_ready');
      expect(outcome(runIf, [open, 'completed'])).toBe('not_ready');
    }
  });

  test('a task of a run that is being cancelled ends as cancelled, whatever its dependencies became', () => {
    for (const names of [[], ['completed'], ['failed'], ['cancelled', 'skipped']] satisfies Named[][]) {
      expect(outcome(runIf, names, 'cancelling')).toBe('cancelled');
    }
  });

  test('in a paused run nothing is decided and nothing started, whatever its dependencies became', () => {
    for (const names of [[], ['completed'], ['failed'], ['open'], ['not_begun', 'skipped']] satisfies Named[][]) {
      expect(outcome(runIf, names, 'paused')).toBe('put_off');
    }
  });

  test('even then it waits until they are final, because the last action ends the run for all of them', () => {
    expect(outcome(runIf, ['open'], 'cancelling')).toBe('not_ready');
    expect(outcome(runIf, ['not_begun', 'completed'], 'cancelling')).toBe('not_ready');
  });
});

test('the reason names the one that did not complete', () => {
  expect(decide('all_succeeded', dependencies(['completed', 'failed']), 'running')).toMatchObject({
    reason: "'failed_1' did not complete",
  });
  expect(decide('any_succeeded', dependencies(['skipped', 'let_go']), 'running')).toMatchObject({
    reason: "no dependency succeeded: 'let_go_1' did not complete",
  });
});
