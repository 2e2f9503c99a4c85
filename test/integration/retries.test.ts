import { describe, expect } from 'vitest';
import { type Call, startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, QUICK_RETRY, type TestAction, workflow } from '../support/test-task.ts';

function call(url: string, more: object = {}): TestAction {
  return {
    action_id: 'call',
    action_type: 'http_request',
    config: { url, method: 'POST', body: { n: 1 } },
    retry: QUICK_RETRY,
    ...more,
  };
}
/** Milliseconds between one call and the next. */
const gaps = (calls: readonly Call[]) => calls.slice(1).map(({ at }, n) => at - (calls[n]?.at ?? 0));

/** Milliseconds between the end of one attempt and the beginning of the next, by what is recorded. */
const delaysOf = (history: readonly { started_at: string; finished_at: string | null }[]) =>
  history.slice(1).map(({ started_at }, n) => Date.parse(started_at) - Date.parse(history[n]?.finished_at ?? ''));

// The policy is the same whatever the queue.
const [onOne] = onBothBackends({ environment: { ORCHESTRATOR_RETRY_BACKOFF_BASE: '2.5', MAX_RETRY_ATTEMPTS: '2' } });

describe.each([onOne].flatMap((one) => one ?? []))('a base of the backoff on $backend', ({ test }) => {
  test('the n-th delay is the n-th power of RETRY_BACKOFF_BASE in seconds', async ({ api, db }) => {
    const task = await api.assign({ task_type: 'test_task', params: { fail_with: 'no' } });
    const run = await api.run(
      workflow([
        echo('by_default', [], { fail_with: 'no' }),
        echo('by_itself', [], { fail_with: 'no' }, { retry: { initial_delay_seconds: 0.2, multiplier: 5 } }),
      ]),
    );
    await api.ended(task);
    const { rows } = await db.query<{ started_at: string; finished_at: string }>(
      'SELECT started_at::text, finished_at::text FROM attempt WHERE run_id = $1 ORDER BY attempt',
      [task],
    );
    const found = [
      delaysOf(taskOf(run, 'by_default').attempts_history),
      delaysOf(rows),
      delaysOf(taskOf(run, 'by_itself').attempts_history),
    ];
    const atLeast = [
      [2_500, 6_250],
      [2_500, 6_250],
      [200, 1_000],
    ];
    expect(found.map((delays) => delays.length)).toEqual([2, 2, 2]);
    for (const [at, expected] of atLeast.entries())
      for (const [n, ms] of expected.entries()) expect(found[at]?.[n]).toBeGreaterThanOrEqual(ms - 5);
  });
});

describe.each(onBothBackends())('retries on $backend', ({ test }) => {
  test('a task is tried again as its policy says, and every attempt is recorded', async ({ api }) => {
    const retry = { max_attempts: 4, backoff: 'exponential', initial_delay_seconds: 0.2, max_delay_seconds: 0.5 };
    const run = await api.run(
      workflow([echo('flaky', [], { fail_with: 'not yet', fail_attempts: 3 }, { retry }), echo('after', ['flaky'])]),
    );
    expect(run.status).toBe('completed');
    const { attempts, attempts_history: history } = taskOf(run, 'flaky');
    expect(attempts).toBe(4);
    expect(history.map(({ attempt, status, error, worker }) => ({ attempt, status, error, worker }))).toEqual([
      ...[1, 2, 3].map((attempt) => ({
        attempt,
        status: 'failed',
        error: expect.objectContaining({ message: 'not yet' }),
        worker: expect.any(String),
      })),
      { attempt: 4, status: 'completed', error: null, worker: expect.any(String) },
    ]);
    const waits = delaysOf(history);
    for (const [n, atLeast] of [200, 400, 500].entries()) expect(waits[n]).toBeGreaterThanOrEqual(atLeast - 5);
  });

  test('after its last attempt a task fails, with the error of that attempt', async ({ api }) => {
    const run = await api.run(
      workflow([
        echo(
          'bad',
          [],
          { fail_with: 'never' },
          { retry: { max_attempts: 3, backoff: 'linear', initial_delay_seconds: 0.05 } },
        ),
      ]),
    );
    expect(run).toMatchObject({
      status: 'failed',
      tasks: [{ status: 'failed', attempts: 3, error: { message: 'never', attempt: 3 } }],
    });
    expect(taskOf(run, 'bad').attempts_history).toHaveLength(3);
  });

  test('a task of the simple door is tried max_attempts times', async ({ api }) => {
    const id = await api.assign({ task_type: 'test_task', params: { fail_with: 'no' }, max_attempts: 1 });
    expect(await api.ended(id)).toMatchObject({ status: 'failed', attempts: 1 });
  });

  test('a service that asks for patience is not called before Retry-After', async ({ api, service }) => {
    service.answer(() =>
      service.calls.length < 2 ? { status: 429, headers: { 'retry-after': '2' } } : { body: { fine: true } },
    );
    const run = await api.run(workflow([call(service.url)]));
    expect(run.status).toBe('completed');
    expect(gaps(service.calls)[0]).toBeGreaterThanOrEqual(2_000);
  });

  for (const status of [408, 425, 429, 500, 502, 503, 504]) {
    test(`an answer of ${status} is tried again`, async ({ api, service }) => {
      service.answer(() => (service.calls.length < 2 ? { status } : { body: { fine: true } }));
      const run = await api.run(workflow([call(service.url)]));
      expect(run.status).toBe('completed');
      expect(taskOf(run, 'call').attempts_history).toMatchObject([
        { status: 'failed', error: { message: expect.stringContaining(String(status)) } },
        { status: 'completed' },
      ]);
      expect(new Set(service.calls.map(({ idempotencyKey }) => idempotencyKey))).toEqual(
        new Set([`${run.execution_id}.1.call`]),
      );
    });
  }

  for (const status of [400, 401, 404, 409, 422]) {
    test(`an answer of ${status} is not tried again`, async ({ api, service }) => {
      service.answer(() => ({ status }));
      const run = await api.run(workflow([call(service.url)]));
      expect(run).toMatchObject({ status: 'failed', tasks: [{ attempts: 1, error: { code: 'upstream_rejected' } }] });
      expect(service.calls).toHaveLength(1);
    });
  }

  test('a network fault is tried again', async ({ api, service }) => {
    service.answer((_call, response) => {
      if (service.calls.length > 1) return { body: { fine: true } };
      response.destroy();
      return undefined;
    });
    const run = await api.run(workflow([call(service.url)]));
    expect(run.status).toBe('completed');
    expect(taskOf(run, 'call').attempts_history).toMatchObject([
      { status: 'failed', error: { code: 'network_error' } },
      { status: 'completed' },
    ]);
  });

  test('a service that is not there is a network error after the last attempt', async ({ api }) => {
    const gone = await startService();
    await gone.close();
    const run = await api.run(workflow([call(gone.url)]));
    expect(run).toMatchObject({ status: 'failed', tasks: [{ attempts: 2, error: { code: 'network_error' } }] });
  });

  test('a timeout really aborts: the service sees the connection close, and the task is tried again', async ({
    api,
    service,
  }) => {
    service.answer(() => (service.calls.length < 2 ? undefined : { body: { fine: true } }));
    const run = await api.run(workflow([call(service.url, { timeout_seconds: 1 })]));
    expect(run.status).toBe('completed');
    await until(() => service.calls[0]?.abandoned === true, { what: 'the first connection is closed' });
    expect(taskOf(run, 'call').attempts_history).toMatchObject([
      { status: 'failed', error: { code: 'timeout' } },
      { status: 'completed' },
    ]);
  });

  test('an error code that is named in non_retryable is not tried again', async ({ api, service }) => {
    service.answer(() => ({ status: 503 }));
    const run = await api.run(
      workflow([call(service.url, { retry: { ...QUICK_RETRY, max_attempts: 5, non_retryable: ['upstream_error'] } })]),
    );
    expect(run).toMatchObject({ status: 'failed', tasks: [{ attempts: 1, error: { code: 'upstream_error' } }] });
    expect(service.calls).toHaveLength(1);
  });

  test('a task that is between two attempts is shown as retrying, with the attempt that failed', async ({ api }) => {
    const run = await api.execute(
      await api.createWorkflow(
        workflow([
          echo(
            'flaky',
            [],
            { fail_with: 'not yet', fail_attempts: 1 },
            { retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 1 } },
          ),
        ]),
      ),
    );
    await until(async () => taskOf(await api.execution(run), 'flaky').status === 'retrying');
    expect(await api.execution(run)).toMatchObject({
      status: 'running',
      tasks: [{ attempts: 1, attempts_history: [{ attempt: 1, status: 'failed' }] }],
    });
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
  });
});
