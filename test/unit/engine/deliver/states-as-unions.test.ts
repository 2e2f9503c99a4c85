/** What no task can be does not compile: the lines below are checked by the type check, which fails where one of them is legal. */
import { describe, expect, test } from 'vitest';
import type { LiveRun, RunRow, TaskFields, TaskRow } from '../../../../src/engine/ports/rows.ts';
import type {
  CompletedOutcome,
  FailedOutcome,
  Outcome,
  RetryingOutcome,
  WaitingOutcome,
} from '../../../../src/engine/ports/tasks.ts';
import { outcome } from '../../../harness/outcomes.ts';

const completed: CompletedOutcome = outcome({ runId: 'r', status: 'completed' });
const failed = outcome({ runId: 'r', status: 'failed' }) as FailedOutcome;
const waiting = outcome({ runId: 'r', status: 'waiting' }) as WaitingOutcome;
const retrying = outcome({ runId: 'r', status: 'retrying' }) as RetryingOutcome;

describe('an outcome', () => {
  test('of a completed task has an output and no error', () => {
    const { output, ...without } = completed;
    const legal: Outcome = { ...without, output };
    // @ts-expect-error A completed task has an output.
    const lacking: Outcome = without;
    // @ts-expect-error It is JSON text.
    const empty: Outcome = { ...completed, output: null };
    // @ts-expect-error It has no error.
    const both: Outcome = { ...completed, error: '{}' };
    // @ts-expect-error It is final.
    const open: Outcome = { ...completed, final: false };
    expect([legal, lacking, empty, both, open].every(({ status }) => status === 'completed')).toBe(true);
  });

  test('of a failed task has an error and no output', () => {
    const legal: Outcome = { ...failed, error: '{}', tolerated: true };
    // @ts-expect-error It says why.
    const silent: Outcome = { ...failed, error: null };
    // @ts-expect-error It has no output.
    const both: Outcome = { ...failed, output: '1' };
    // @ts-expect-error Only an output comes from the cache.
    const cached: Outcome = { ...failed, cached: true };
    expect([legal, silent, both, cached].every(({ status }) => status === 'failed')).toBe(true);
  });

  test('of a task that waits or is tried again is never final, and ends no run', () => {
    const legal: Outcome[] = [
      { ...waiting, notBefore: undefined },
      { ...retrying, notBefore: new Date(0) },
    ];
    // @ts-expect-error It goes on.
    const final: Outcome = { ...waiting, final: true };
    // @ts-expect-error The attempt goes on, too.
    const ended: Outcome = { ...waiting, ended: true };
    // @ts-expect-error Its run goes on with it.
    const last: Outcome = { ...waiting, endsRun: true };
    // @ts-expect-error A retry has a time.
    const timeless: Outcome = { ...retrying, notBefore: undefined };
    // @ts-expect-error The next attempt is to come.
    const over: Outcome = { ...retrying, final: true };
    // @ts-expect-error Neither has an output.
    const done: Outcome = { ...retrying, output: '1' };
    expect([...legal, final, ended, last, timeless, over, done]).toHaveLength(8);
  });
});

describe('a row', () => {
  const fields = { actionId: 'a', tolerated: false } as TaskFields;
  const run = { id: 'r', status: 'running', final: false } as LiveRun;

  test('of a task has an output only where it completed', () => {
    const legal: TaskRow[] = [
      { ...fields, status: 'completed', final: true, output: 1 },
      { ...fields, status: 'failed', final: true, output: null },
      { ...fields, status: 'waiting', final: false, output: null },
    ];
    // @ts-expect-error What waits has not ended.
    const final: TaskRow = { ...fields, status: 'waiting', final: true, output: null };
    // @ts-expect-error What completed has.
    const open: TaskRow = { ...fields, status: 'completed', final: false, output: 1 };
    // @ts-expect-error Only a completed task has an output.
    const both: TaskRow = { ...fields, status: 'failed', final: true, output: 1 };
    expect([...legal, final, open, both]).toHaveLength(6);
  });

  test('of a run is final where its status is', () => {
    const legal: RunRow = { ...run, status: 'completed', final: true };
    // @ts-expect-error A run that goes on has not ended.
    const ended: RunRow = { ...run, final: true };
    // @ts-expect-error A completed one has.
    const open: RunRow = { ...run, status: 'completed' };
    expect([legal, ended, open]).toHaveLength(3);
  });
});
