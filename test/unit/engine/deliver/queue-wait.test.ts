import { expect, test } from 'vitest';
import { queueWaitMs } from '../../../../src/engine/deliver/queue-wait.ts';
import type { Delivery } from '../../../../src/engine/ports/queue.ts';
import type { TaskRow } from '../../../../src/engine/ports/rows.ts';

const delivery = (values: Partial<Delivery>): Delivery =>
  // Only what is read of it.
  ({ attemptsStarted: 1, added: { atMs: 1_000, delayMs: 0 }, ...values }) as Delivery;
const row = (values: Partial<TaskRow>): TaskRow => ({ status: 'completed', final: true, ...values }) as TaskRow;

test('a first task waits from when it was added', () => {
  expect(queueWaitMs(delivery({}), undefined, [], 1_250)).toBe(250);
});

test('a task waits from the end of the last of its dependencies, although it was added with them', () => {
  const ended = [row({ finishedMs: 1_100 }), row({ finishedMs: 1_200 }), row({ finishedMs: null })];
  expect(queueWaitMs(delivery({}), undefined, ended, 1_250)).toBe(50);
});

test('the delay that a task was given is no waiting', () => {
  expect(queueWaitMs(delivery({ added: { atMs: 1_000, delayMs: 200 } }), undefined, [], 1_250)).toBe(50);
  expect(queueWaitMs(delivery({ added: { atMs: 1_000, delayMs: 500 } }), undefined, [], 1_250)).toBe(0);
});

test('only the first delivery counts, also of a task that was stored before', () => {
  expect(queueWaitMs(delivery({ attemptsStarted: 2 }), undefined, [], 1_250)).toBeUndefined();
  expect(queueWaitMs(delivery({}), row({ status: 'retrying' }), [], 1_250)).toBeUndefined();
  expect(queueWaitMs(delivery({}), row({ status: 'pending', finishedMs: null }), [], 1_250)).toBe(250);
});
