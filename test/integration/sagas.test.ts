/** Sagas through the public door, on real queues. */
import { describe, expect } from 'vitest';
import { createTaskStore } from '../../src/store/tasks/task-store.ts';
import { accepted, type Client, field, list, openClient, statuses } from '../harness/client/client.ts';
import { outcome } from '../harness/outcomes.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import { hasEnded } from '../support/scenario.ts';
import { echo, type TestAction, workflow } from '../support/test-task.ts';

const ONCE = { max_attempts: 1 };

/** Calls the service, and calls it again to be undone. */
function step(service: Service, id: string, dependsOn: string[] = [], more: object = {}): TestAction {
  return {
    action_id: id,
    action_type: 'http_request',
    config: { url: `${service.url}/${id}`, method: 'POST' },
    depends_on: dependsOn,
    retry: ONCE,
    compensate: {
      action_type: 'http_request',
      config: { url: `${service.url}/undo-${id}`, method: 'POST', json: { number: `{{${id}.body.number}}` } },
      retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.05 },
    },
    ...more,
  };
}
const calledPaths = ({ calls }: Service) => calls.map(({ path }) => path.slice(1));
const eventsOf = async (api: Client, run: string) => {
  const body = accepted(await api.get(`/workflows/executions/${run}/events`, { accept: 'application/json' }), 200).body;
  return (body as { items: { event: string; data: object }[] }).items;
};

describe.each(onBothBackends({ workers: 2 }))('sagas on $backend', ({ test }) => {
  test('a run that fails is undone in the reverse order of what it did, each with its own attempts', async ({
    api,
    service,
  }) => {
    service.answer(({ path }) => {
      if (path === '/ship') return { status: 400 };
      if (path === '/undo-pay' && service.calls.filter((call) => call.path === path).length === 1)
        return { status: 503 };
      return { body: { number: path.length } };
    });
    const run = await api.run(
      workflow([
        step(service, 'order'),
        step(service, 'pay', ['order']),
        step(service, 'mail', ['order'], { compensate: undefined }),
        step(service, 'ship', ['pay', 'mail']),
      ]),
    );
    expect(run).toMatchObject({
      status: 'compensated',
      output: null,
      error: { action_id: 'ship', code: 'upstream_rejected' },
    });
    expect(statuses(run)).toEqual({ order: 'completed', pay: 'completed', mail: 'completed', ship: 'failed' });
    expect(calledPaths(service).filter((path) => path.startsWith('undo'))).toEqual([
      'undo-pay',
      'undo-pay',
      'undo-order',
    ]);
    expect(service.calls.find(({ path }) => path === '/undo-order')?.body).toEqual({ number: '/order'.length });
    expect(taskOf(run, 'pay').compensation).toMatchObject({
      status: 'completed',
      attempts: 2,
      action_type: 'http_request',
    });
    expect([taskOf(run, 'mail').compensation, taskOf(run, 'ship').compensation]).toEqual([undefined, undefined]);
    const told = await eventsOf(api, run.execution_id);
    expect(told.filter(({ event }) => event.startsWith('run.')).map(({ event }) => event)).toEqual([
      'run.started',
      'run.compensating',
      'run.compensated',
    ]);
    expect(accepted(await api.get(`/result/${run.execution_id}`), 200).body).toMatchObject({ status: 'failed' });
    expectProblem(await api.post(`/workflows/executions/${run.execution_id}/retry`), 409, 'not_retryable');
  });

  test('one that is cancelled is undone too, and cannot be stopped half way', async ({ api, service }) => {
    const held: (() => void)[] = [];
    service.answer(({ path }) => {
      if (path === '/slow') return undefined;
      if (path === '/undo-order') return new Promise((resolve) => held.push(() => resolve({ body: {} })));
      return { body: { number: 1 } };
    });
    const id = await api.createWorkflow(workflow([step(service, 'order'), step(service, 'slow', ['order'])]));
    const run = await api.execute(id);
    await until(() => calledPaths(service).includes('slow'));
    accepted(await api.post(`/workflows/executions/${run}/cancel`, { reason: 'no more' }), 202);
    await until(() => held.length === 1, { what: 'the order is being undone' });
    expect(await api.execution(run)).toMatchObject({ status: 'compensating' });
    for (const what of ['cancel', 'pause']) {
      expect((await api.post(`/workflows/executions/${run}/${what}`)).status).toBe(409);
    }
    held[0]?.();
    expect(await api.finished(run)).toMatchObject({ status: 'compensated', cancel_reason: 'no more' });
  });

  test('one that is cancelled in its first half second goes through cancelling like any other', async ({
    api,
    service,
  }) => {
    service.answer(({ path }) => (path === '/order' ? undefined : { body: {} }));
    const id = await api.createWorkflow(workflow([step(service, 'order')]));
    const run = await api.execute(id);
    await until(() => calledPaths(service).includes('order'));
    // The call is on its way, and has no row yet.
    const answer = accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    expect(field(answer, 'status')).toBe('cancelling');
    // Nobody knows whether there is an order now.
    expect(await api.finished(run)).toMatchObject({
      status: 'compensated',
      cancel_reason: null,
      tasks: [{ status: 'cancelled', effect_unknown: true, compensation: { status: 'completed' } }],
    });
  });

  test('one that is replaced in its first half second is only ended when what it began is over', async ({
    api,
    service,
    db,
  }) => {
    service.answer(({ path }) => (path === '/order' ? undefined : { body: { number: 1 } }));
    const id = await api.createWorkflow(
      workflow([step(service, 'order')], { concurrency: { key: 'one', limit: 1, policy: 'replace' } }),
    );
    const run = await api.execute(id);
    await until(() => calledPaths(service).includes('order'));
    await api.execute(id);
    const ended = await api.finished(run);
    expect(ended.cancel_reason).toMatch(/^replaced by /);
    // The worker ends it, with what it knows of the call; nobody else writes its action off.
    const { rows } = await db.query('SELECT worker FROM task WHERE run_id = $1 AND action_id = $2', [run, 'order']);
    expect(rows[0]?.worker).not.toBeNull();
  });

  test('one that is compensating already is not replaced: its compensation goes on, and the next one waits', async ({
    api,
    service,
  }) => {
    let release: () => void = () => undefined;
    const isReleased = new Promise<void>((resolve) => {
      release = resolve;
    });
    service.answer(async ({ path }) => {
      if (path === '/ship') return { status: 400 };
      if (path === '/undo-order') await isReleased;
      return { body: { number: 1 } };
    });
    const actions = [step(service, 'order'), step(service, 'ship', ['order'], { compensate: undefined })];
    const id = await api.createWorkflow(
      workflow(actions, { concurrency: { key: 'one', limit: 1, policy: 'replace' } }),
    );
    const run = await api.execute(id);
    await until(() => calledPaths(service).includes('undo-order'));
    const next = await api.execute(id);
    expect((await api.execution(run)).status).toBe('compensating');
    expect((await api.execution(next)).waiting_for).toBeDefined();
    release();
    expect(await api.finished(run)).toMatchObject({ status: 'compensated', cancel_reason: null });
    expect(await api.finished(next)).toMatchObject({ status: 'compensated' });
  });

  test('what took too long is undone as well, by its idempotency key', async ({ api, service }) => {
    service.answer(({ path }) => (path === '/order' ? undefined : { body: {} }));
    const run = await api.run(workflow([step(service, 'order', [], { timeout_seconds: 0.2 })]));
    expect(run).toMatchObject({ status: 'compensated', error: { code: 'timeout' } });
    expect(taskOf(run, 'order')).toMatchObject({ status: 'failed', effect_unknown: true });
    const [order, undo] = service.calls;
    expect(undo?.path).toBe('/undo-order');
    expect(undo?.headers['compensates-idempotency-key']).toBe(order?.idempotencyKey);
    expect(undo?.idempotencyKey).not.toBe(order?.idempotencyKey);
    // What nobody knows is null.
    expect(undo?.body).toEqual({ number: null });
  });

  test('what cannot be undone without what nobody knows is a finding', async ({ api, service }) => {
    service.answer(() => undefined);
    const url = `${service.url}/orders/{{order.body.number}}`;
    const compensate = { action_type: 'http_request', config: { url, method: 'DELETE' } };
    const run = await api.run(workflow([step(service, 'order', [], { timeout_seconds: 0.2, compensate })]));
    expect(run.status).toBe('compensation_failed');
    expect(taskOf(run, 'order').compensation).toMatchObject({
      status: 'failed',
      error: { code: 'effect_unknown', message: expect.stringContaining("what 'order' has brought about") },
    });
    expect(calledPaths(service)).toEqual(['order']);
  });

  test('an external task is undone when somebody had it, and not when nobody did', async ({ api, service }) => {
    service.answer(() => ({ body: {} }));
    const undo = { action_type: 'http_request', config: { url: `${service.url}/undo-book`, method: 'POST' } };
    const external = (topic: string) =>
      workflow([step(service, 'book', [], { action_type: 'external', config: { topic }, compensate: undo })]);
    const taken = await api.execute(await api.createWorkflow(external('taken')));
    const left = await api.execute(await api.createWorkflow(external('left')));
    const asks = { topic: 'taken', worker_id: 'elsewhere', wait_seconds: 20 };
    expect(list(accepted(await api.post('/tasks/poll', asks), 200), 'tasks')).toHaveLength(1);
    await until(async () => taskOf(await api.execution(left), 'book').status === 'waiting');
    for (const run of [taken, left]) accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    expect((await api.finished(taken)).status).toBe('compensated');
    expect((await api.finished(left)).status).toBe('cancelled');
    expect(calledPaths(service)).toEqual(['undo-book']);
  });

  test('a success that comes late starts its compensation, and is shown wherever somebody looks', async ({
    api: any,
    service,
    db,
  }) => {
    const api = openClient(any.url, { 'x-tenant-id': 'late' });
    service.answer(({ path }) => (path === '/order' ? undefined : { body: {} }));
    const id = await api.createWorkflow(workflow([step(service, 'order')]));
    const run = await api.execute(id);
    await until(() => calledPaths(service).includes('order'));
    accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    expect(await api.finished(run)).toMatchObject({ status: 'compensated' });
    const asked = () => service.calls.filter(({ path }) => path === '/undo-order').map(({ body }) => body);
    expect(asked()).toEqual([{ number: null }]);

    const pool = createTaskStore(db);
    const row = (await db.query('SELECT * FROM task WHERE run_id = $1 AND action_id = $2', [run, 'order'])).rows[0];
    const { epoch, attempt } = row;
    const output = JSON.stringify({ status: 200, headers: {}, body: { number: 7 } });
    const late = {
      runId: run,
      actionId: 'order',
      epoch,
      attempt,
      tenantId: 'late',
      output,
      status: 'completed' as const,
    };
    await pool.recordLateEffect(outcome(late), true);
    await until(async () => asked().length === 2, { what: 'it is undone once more' });
    // Now it is known what there is to undo.
    expect(asked()[1]).toEqual({ number: 7 });
    const ended = await api.finished(run);
    expect(ended).toMatchObject({
      status: 'compensated',
      late_effects: [{ action_id: 'order', attempt, compensated: true, output: { body: { number: 7 } } }],
    });
    expect((await eventsOf(api, run)).filter(({ event }) => event === 'task.late_effect')).toHaveLength(1);
    const seen = [{ execution_id: run, execution_status: 'compensated', action_id: 'order', compensated: true }];
    const page = async (client: Client, query = '') =>
      accepted(await client.get(`/infrastructure/late-effects${query}`), 200).body;
    expect(await page(api)).toMatchObject({ items: seen, next_cursor: null });
    expect(await page(api, `?execution_id=${run}&compensated=true&limit=1`)).toMatchObject({ items: seen });
    for (const query of ['?compensated=false', '?action_id=other', '?execution_id=other'])
      expect(await page(api, query)).toMatchObject({ items: [] });
    expect(await page(openClient(any.url, { 'x-tenant-id': 'another' }))).toMatchObject({ items: [] });
    expectProblem(await api.get('/infrastructure/late-effects?cursor=nonsense'), 400, 'invalid_request');
    const why = accepted(await api.get(`/executions/${run}/why`), 200).body;
    expect(why).toMatchObject({ late_effects: [{ action_id: 'order', compensated: true }] });
    // Once, however often somebody looks.
    await db.query(`UPDATE run SET check_at = now() - interval '1 second' WHERE id = $1`, [run]);
    expect(asked()).toHaveLength(2);
  });

  test('a rerun says what came late: it would be done twice', async ({ api, db }) => {
    const run = await api.run(workflow([echo('one'), echo('two', ['one'])]));
    const late = {
      runId: run.execution_id,
      actionId: 'one',
      epoch: 1,
      attempt: 1,
      output: '{}',
      status: 'completed' as const,
    };
    await createTaskStore(db).recordLateEffect(outcome({ ...late, tenantId: 'default' }), false);
    const plan = await api.post(`/workflows/executions/${run.execution_id}/rerun`, {
      action_id: 'one',
      dry_run: true,
    });
    expect(accepted(plan, 200).body).toMatchObject({
      late_effects: [{ action_id: 'one', attempt: 1, compensated: null, output: {} }],
    });
    expect((await api.execution(run.execution_id)).status).toBe('completed');
  });

  test('one that could not be undone says so, and is undone when it is retried', async ({ api, service }) => {
    let isWell = false;
    service.answer(({ path }) => {
      if (path === '/ship' || (path === '/undo-pay' && !isWell)) return { status: 400 };
      return { body: { number: 7 } };
    });
    const actions = [step(service, 'order'), step(service, 'pay', ['order']), step(service, 'ship', ['pay'])];
    const run = await api.run(workflow(actions));
    expect(run.status).toBe('compensation_failed');
    expect(taskOf(run, 'pay').compensation).toMatchObject({ status: 'failed', error: { code: 'upstream_rejected' } });
    expect(taskOf(run, 'order').compensation).toMatchObject({ status: 'completed' });
    isWell = true;
    accepted(await api.post(`/workflows/executions/${run.execution_id}/retry`), 202);
    expect(await api.finished(run.execution_id)).toMatchObject({ status: 'compensated' });
    expect(calledPaths(service)).toEqual(['order', 'pay', 'ship', 'undo-pay', 'undo-order', 'undo-pay']);
  });

  test('an undoing that failed for good is a dead letter, and is retried from there', async ({ api: any, service }) => {
    const api = openClient(any.url, { 'x-tenant-id': 'undone' });
    let isWell = false;
    service.answer(({ path }) => {
      if (path === '/ship' || (path === '/undo-pay' && !isWell)) return { status: 400 };
      return { body: { number: 7 } };
    });
    const actions = [step(service, 'order'), step(service, 'pay', ['order']), step(service, 'ship', ['pay'])];
    const { execution_id: run } = await api.run(workflow(actions));
    const letters = async () => list(accepted(await api.get('/infrastructure/dlq'), 200));
    const known = (await letters()).map(({ event_id, retryable }) => ({ event_id, retryable }));
    expect(new Set(known)).toEqual(
      new Set([
        { event_id: `${run}/pay~undo`, retryable: true },
        { event_id: `${run}/ship`, retryable: false },
      ]),
    );
    const stats = async () => accepted(await api.get('/infrastructure/dlq/stats'), 200).body;
    expect(await stats()).toMatchObject({ failed_events: 2, retryable_events: 1, retried_events: 0 });
    isWell = true;
    expect(accepted(await api.post('/infrastructure/dlq/retry'), 200).body).toEqual({
      ...{ retried_events: 1, total_events: 2, dry_run: false },
    });
    expect(await api.finished(run)).toMatchObject({ status: 'compensated' });
    expect(calledPaths(service)).toEqual(['order', 'pay', 'ship', 'undo-pay', 'undo-order', 'undo-pay']);
    expect((await letters()).map(({ event_id }) => event_id)).toEqual([`${run}/ship`]);
    expect(await stats()).toMatchObject({ failed_events: 1, retryable_events: 0, retried_events: 1 });
  });
});

describe.each(onBothBackendsInProcesses())('a worker that dies in a saga on $backend', ({ test }) => {
  test.for(['saga.afterBegin', 'worker.afterExecute@4'])('at %s', async (failpoint, { api, processes, service }) => {
    service.answer(({ path }) => (path === '/ship' ? { status: 400 } : { body: { number: 1 } }));
    await processes.compose('api');
    const [name = '', at] = failpoint.split('@');
    const dies = await processes.start('worker', { FAILPOINTS: `${name}:exit${at === undefined ? '' : `@${at}`}` });
    const actions = [step(service, 'order'), step(service, 'pay', ['order']), step(service, 'ship', ['pay'])];
    const run = await api.execute(await api.createWorkflow(workflow(actions)));
    await hasEnded(dies);
    await processes.compose('worker');
    expect(await api.finished(run)).toMatchObject({ status: 'compensated' });
    const undone = calledPaths(service).filter((path) => path.startsWith('undo'));
    expect([...new Set(undone)]).toEqual(['undo-pay', 'undo-order']);
  });
});
