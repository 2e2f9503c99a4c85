/** Sagas through the public door, on real queues. */
import { describe, expect } from 'vitest';
import { accepted, type Client, expectProblem, list, openClient, statuses, taskOf } from '../support/client.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import { hasEnded } from '../support/scenario.ts';
import type { Service } from '../support/service.ts';
import { type TestAction, workflow } from '../support/test-task.ts';
import { until } from '../support/until.ts';

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
    await processes.start('api');
    const [name = '', at] = failpoint.split('@');
    const dies = await processes.start('worker', { FAILPOINTS: `${name}:exit${at === undefined ? '' : `@${at}`}` });
    const actions = [step(service, 'order'), step(service, 'pay', ['order']), step(service, 'ship', ['pay'])];
    const run = await api.execute(await api.createWorkflow(workflow(actions)));
    await hasEnded(dies);
    await processes.start('worker');
    expect(await api.finished(run)).toMatchObject({ status: 'compensated' });
    const undone = calledPaths(service).filter((path) => path.startsWith('undo'));
    expect([...new Set(undone)]).toEqual(['undo-pay', 'undo-order']);
  });
});
