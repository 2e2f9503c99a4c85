import { expect, test } from 'vitest';
import { type StepRow, stepsOf } from '../../../../src/features/sagas/steps.ts';
import { definitionOf } from '../../../harness/dags.ts';
import { tries } from '../../../harness/fakes/engine.ts';

const at = (second: number) => new Date(Date.UTC(2030, 0, 1, 12, 0, second));
const row = (id: string, more: Partial<StepRow> = {}): StepRow => ({
  actionId: id,
  status: 'completed',
  attempts: 1,
  error: null,
  startedAt: at(0),
  finishedAt: at(1),
  ...more,
});
const TIMES = { started_at: at(0).toISOString(), completed_at: at(1).toISOString() };
const NOT_BEGUN = { attempts: 0, started_at: null, completed_at: null, error_message: null };

test('the steps of a saga are its actions in their order, each with its compensation', () => {
  const definition = definitionOf({ a: [], b: ['a'], c: ['b'], d: ['c'] }, (id) =>
    id === 'c' ? {} : { compensate: { action_type: 'notification', config: {}, timeout_seconds: 1, ...tries(1) } },
  );
  const failed = row('c', { status: 'failed', attempts: 2, error: { code: 'timeout', message: 'too long' } });
  const open = row('b~undo', { status: 'retrying', finishedAt: null });
  expect(stepsOf(definition, [failed, open, row('b'), row('a')])).toEqual([
    {
      ...{ step_id: 'a', name: 'a', action_type: 'test_task', status: 'completed', attempts: 1, ...TIMES },
      error_message: null,
      compensation: { action_type: 'notification', status: 'not_begun', ...NOT_BEGUN },
    },
    {
      ...{ step_id: 'b', name: 'b', action_type: 'test_task', status: 'completed', attempts: 1, ...TIMES },
      error_message: null,
      compensation: {
        ...{ action_type: 'notification', status: 'retrying', attempts: 1 },
        ...{ started_at: TIMES.started_at, completed_at: null, error_message: null },
      },
    },
    {
      ...{ step_id: 'c', name: 'c', action_type: 'test_task', status: 'failed', attempts: 2, ...TIMES },
      error_message: 'too long',
      compensation: null,
    },
    {
      ...{ step_id: 'd', name: 'd', action_type: 'test_task', status: 'pending', ...NOT_BEGUN },
      compensation: { action_type: 'notification', status: 'not_begun', ...NOT_BEGUN },
    },
  ]);
});
