import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TRUSTED } from '../../../../src/engine/deliver/jobs-in-hand.ts';
import { runAdapter, type Stop } from '../../../../src/engine/deliver/run-adapter.ts';
import { CLOSED_REPORTS } from '../../../../src/engine/deliver/task-reports.ts';
import type { ExecutionCall, ExecutionResult } from '../../../../src/engine/ports/executor.ts';
import type { RunRow } from '../../../../src/engine/ports/rows.ts';

const GRACE_MS = 2_000;
const LAST_GRACE_MS = 250;

const run: RunRow = {
  id: 'run',
  tenantId: 't',
  userId: 'u',
  of: { workflow_id: 'w', version: 1 },
  epoch: 1,
  gen: 0,
  status: 'running',
  final: false,
  priority: 50,
  parameters: {},
  correlationId: null,
  traceId: null,
  createdAt: new Date(0),
  deadlineAt: null,
};

/** An adapter in the test's hands, and everything that can end it. */
function start(
  options: {
    timeoutMs?: number;
    heartbeatMs?: number;
    execute?: (call: ExecutionCall) => Promise<ExecutionResult>;
  } = {},
) {
  const shutdown = new AbortController();
  let watching: (() => void) | undefined;
  let finish: (result: ExecutionResult) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  let call: ExecutionCall | undefined;
  let lose: (reason: string) => void = () => undefined;
  const slow = vi.fn(async () => undefined);
  const result = runAdapter(
    {
      executor: {
        literalFields: () => [],
        execute(given) {
          call = given;
          if (options.execute !== undefined) return options.execute(given);
          return new Promise((resolve, reject) => {
            finish = resolve;
            fail = reject;
          });
        },
      },
      control: {
        watch(runId, stop) {
          expect(runId).toBe('run');
          watching = stop;
          return () => {
            watching = undefined;
          };
        },
      },
      shutdown: shutdown.signal,
    },
    {
      actionType: 'test_task',
      actionId: 'a',
      priority: 50,
      input: {},
      secrets: [],
      idempotencyKey: 'run.1.a',
      attempt: 1,
      run,
      scope: { params: {}, run: {}, outputs: {} },
      wakeAt: undefined,
      suspect: false,
      reports: CLOSED_REPORTS,
      trust: {
        isTrusted: () => true,
        onLost(listener) {
          lose = listener;
        },
      },
      timeoutMs: options.timeoutMs ?? 10_000,
      heartbeatMs: options.heartbeatMs,
      onSlow: slow,
    },
  );
  let answer: ExecutionResult | Stop | undefined;
  void result.then(
    (value) => {
      answer = value;
    },
    () => undefined,
  );
  return {
    result,
    slow,
    shutdown,
    call: () => call,
    signal: () => call?.signal,
    answer: () => answer,
    cancel: () => watching?.(),
    lose: (reason: string) => lose(reason),
    isWatched: () => watching !== undefined,
    finish: (output: string) => finish({ result: 'output', output }),
    fail: (error: Error) => fail(error),
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  // Nothing may be left that would keep the process alive or fire later.
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

test('what the adapter answers in time is the result, and nothing of it is left behind', async () => {
  const task = start();
  await vi.advanceTimersByTimeAsync(100);
  task.finish('done');
  expect(await task.result).toEqual({ result: 'output', output: 'done' });
  expect(task.slow).not.toHaveBeenCalled();
  expect(task.isWatched()).toBe(false);
  expect(task.signal()?.aborted).toBe(false);
});

test('a task that runs longer than half a second is shown once', async () => {
  const task = start();
  await vi.advanceTimersByTimeAsync(499);
  expect(task.slow).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(task.slow).toHaveBeenCalledTimes(1);
  task.finish('done');
  await task.result;
});

test('showing it may fail without harm', async () => {
  const task = start();
  task.slow.mockRejectedValueOnce(new Error('the database is away'));
  await vi.advanceTimersByTimeAsync(600);
  task.finish('done');
  expect(await task.result).toEqual({ result: 'output', output: 'done' });
});

test('at its deadline the attempt has failed and can be tried again; the signal is aborted', async () => {
  const task = start({ timeoutMs: 1_500 });
  await vi.advanceTimersByTimeAsync(1_499);
  expect(task.answer()).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(task.signal()?.aborted).toBe(true);
  await vi.advanceTimersByTimeAsync(GRACE_MS);
  expect(await task.result).toEqual({
    result: 'failure',
    failure: { code: 'timeout', message: 'took longer than timeout_seconds (1.5)', retryable: true },
  });
  expect(task.signal()?.aborted).toBe(true);
});

test('an adapter that ignores its signal does not block the task, and what it does later is ignored', async () => {
  const task = start({ timeoutMs: 1_000 });
  await vi.advanceTimersByTimeAsync(1_000 + GRACE_MS);
  expect((await task.result).result).toBe('failure');
  task.fail(new Error('long after'));
  await vi.advanceTimersByTimeAsync(10_000);
  expect((await task.result).result).toBe('failure');
});

test('an adapter that answers its aborted signal with an error of its own has timed out all the same', async () => {
  const task = start({
    timeoutMs: 1_000,
    execute: ({ signal }) =>
      new Promise((resolve) => {
        const failure = { code: 'network_error', message: 'aborted', retryable: true };
        signal.addEventListener('abort', () => resolve({ result: 'failure', failure }));
      }),
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await task.result).toMatchObject({ failure: { code: 'timeout' } });
});

test('a cancelled run ends the task after its grace, and nobody knows what it has done', async () => {
  const task = start();
  await vi.advanceTimersByTimeAsync(10);
  task.cancel();
  expect(task.signal()?.aborted).toBe(true);
  await vi.advanceTimersByTimeAsync(GRACE_MS - 1);
  expect(task.answer()).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(await task.result).toEqual({ result: 'cancelled', effectUnknown: true });
  expect(task.isWatched()).toBe(false);
});

describe('an adapter that is stopped may say in its grace what has really happened', () => {
  const failing = (failure: object) => ({ result: 'failure', failure }) as ExecutionResult;
  const declined = failing({ code: 'declined', message: 'no', retryable: false, definite: true });
  const brokenOff = failing({ code: 'network_error', message: 'aborted', retryable: true });
  const unfit = failing({
    code: 'adapter_failed',
    message: 'no',
    retryable: false,
    definite: true,
    effectUnknown: true,
  });
  const done: ExecutionResult = { result: 'output', output: 'done' };
  const asleep: ExecutionResult = { result: 'park', until: undefined };
  const timeout = { failure: { code: 'timeout' } };
  const back = { result: 'shutdown', started: true };
  const cancelled = (effectUnknown: boolean) => ({ result: 'cancelled', effectUnknown });
  test.each<[string, ExecutionResult, 'cancel' | 'deadline' | 'shutdown', object]>([
    ['a success of a cancelled run', done, 'cancel', done],
    ['a success after the deadline', done, 'deadline', done],
    ['a success at the end of the worker', done, 'shutdown', done],
    ['a sure failure of a cancelled run', declined, 'cancel', cancelled(false)],
    ['a sure failure after the deadline', declined, 'deadline', declined],
    ['that it was broken off', brokenOff, 'cancel', cancelled(true)],
    ['that it was broken off at its deadline', brokenOff, 'deadline', timeout],
    ['that it was broken off at the end of the worker', brokenOff, 'shutdown', back],
    ['an output that does not fit', unfit, 'cancel', cancelled(true)],
    ['that it only waits', asleep, 'cancel', cancelled(false)],
  ])('%s', async (_, says, by, expected) => {
    const task = start({
      timeoutMs: 1_000,
      execute: ({ signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => setTimeout(() => resolve(says), LAST_GRACE_MS - 1));
        }),
    });
    if (by === 'cancel') task.cancel();
    if (by === 'shutdown') task.shutdown.abort();
    await vi.advanceTimersByTimeAsync(1_000 + LAST_GRACE_MS);
    expect(await task.result).toMatchObject(expected);
  });
});

test('the end of the worker ends the task soon, without an outcome', async () => {
  const task = start();
  await vi.advanceTimersByTimeAsync(10);
  task.shutdown.abort();
  await vi.advanceTimersByTimeAsync(LAST_GRACE_MS);
  expect(await task.result).toEqual({ result: 'shutdown', started: true });
  expect(task.signal()?.aborted).toBe(true);
});

test('an adapter whose job may not be ours any more gets its signal aborted, and what it answers is still its result', async () => {
  const task = start();
  task.lose('its lock was not renewed');
  expect(task.signal()?.reason).toEqual(new Error('its lock was not renewed'));
  await vi.advanceTimersByTimeAsync(100);
  expect(task.answer()).toBeUndefined();
  task.finish('done');
  expect(await task.result).toEqual({ result: 'output', output: 'done' });
});

test('a worker that is stopping starts nothing', async () => {
  const execute = vi.fn(async (): Promise<ExecutionResult> => ({ result: 'output', output: 1 }));
  const shutdown = new AbortController();
  shutdown.abort();
  const result = await runAdapter(
    {
      executor: { literalFields: () => [], execute },
      control: { watch: () => () => undefined },
      shutdown: shutdown.signal,
    },
    {
      actionType: 'test_task',
      actionId: 'a',
      priority: 50,
      input: {},
      secrets: [],
      idempotencyKey: 'k',
      attempt: 1,
      run,
      scope: { params: {}, run: {}, outputs: {} },
      wakeAt: undefined,
      suspect: false,
      reports: CLOSED_REPORTS,
      trust: TRUSTED,
      timeoutMs: 1_000,
      onSlow: async () => undefined,
    },
  );
  expect(result).toEqual({ result: 'shutdown', started: false });
  expect(execute).not.toHaveBeenCalled();
});

test('whichever comes first counts', async () => {
  const task = start({ timeoutMs: 1_000 });
  task.finish('done');
  task.cancel();
  task.shutdown.abort();
  expect((await task.result).result).toBe('output');
  const other = start({ timeoutMs: 1_000 });
  other.cancel();
  other.shutdown.abort();
  await vi.advanceTimersByTimeAsync(GRACE_MS);
  expect((await other.result).result).toBe('cancelled');
});

test('a fault of the executor itself is passed on, and nothing is left behind', async () => {
  const task = start();
  const failed = expect(task.result).rejects.toThrow('a bug');
  task.fail(new Error('a bug'));
  await failed;
  expect(task.isWatched()).toBe(false);
});

test('the result of a slow task comes after it was marked: a mark must not come after the outcome', async () => {
  const task = start();
  let written: () => void = () => undefined;
  task.slow.mockReturnValueOnce(
    new Promise((resolve) => {
      written = () => resolve(undefined);
    }),
  );
  await vi.advanceTimersByTimeAsync(600);
  task.finish('done');
  await vi.advanceTimersByTimeAsync(1_000);
  expect(task.answer()).toBeUndefined();
  written();
  expect((await task.result).result).toBe('output');
});

test('a deadline beyond what a timer allows does not come at once', async () => {
  const task = start({ timeoutMs: 2 ** 40 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(task.answer()).toBeUndefined();
  task.finish('done');
  await task.result;
});

test('while a task waits for a free slot its deadline does not run, and then it has all of its time', async () => {
  const task = start({ timeoutMs: 1_000 });
  await vi.advanceTimersByTimeAsync(900);
  const goOn = task.call()?.pauseDeadline();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(task.answer()).toBeUndefined();
  goOn?.();
  await vi.advanceTimersByTimeAsync(999);
  expect(task.answer()).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1 + GRACE_MS);
  expect(await task.result).toMatchObject({ failure: { code: 'timeout' } });
});

test('an adapter that says nothing for too long has failed this attempt, and whatever it says is a sign of life', async () => {
  const task = start({ timeoutMs: 60_000, heartbeatMs: 1_000 });
  for (const say of ['progress', 'heartbeat', 'stream'] as const) {
    await vi.advanceTimersByTimeAsync(900);
    task.call()?.reports[say](1);
  }
  await vi.advanceTimersByTimeAsync(999);
  expect(task.answer()).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1 + GRACE_MS);
  expect(await task.result).toMatchObject({ failure: { code: 'heartbeat_timeout', retryable: true } });
  expect(task.signal()?.aborted).toBe(true);
  // What it says afterwards wakes nobody.
  task.call()?.reports.heartbeat();
});

test('a task that waits for a free slot need not report', async () => {
  const task = start({ timeoutMs: 60_000, heartbeatMs: 1_000 });
  const goOn = task.call()?.pauseDeadline();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(task.answer()).toBeUndefined();
  goOn?.();
  await vi.advanceTimersByTimeAsync(1_000 + GRACE_MS);
  expect(await task.result).toMatchObject({ failure: { code: 'heartbeat_timeout' } });
});

test('a slot that comes when the task has ended starts no deadline', async () => {
  const task = start({ timeoutMs: 1_000 });
  const goOn = task.call()?.pauseDeadline();
  task.cancel();
  await vi.advanceTimersByTimeAsync(GRACE_MS);
  expect(await task.result).toMatchObject({ result: 'cancelled' });
  goOn?.();
});

test('the adapter gets its identity and what it may send on', async () => {
  const task = start();
  expect(task.call()).toMatchObject({ actionId: 'a', idempotencyKey: 'run.1.a', attempt: 1 });
  for (const own of ['trust', 'onSlow']) expect(Object.keys(task.call() ?? {})).not.toContain(own);
  task.finish('done');
  await task.result;
});
