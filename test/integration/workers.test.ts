import { describe, expect } from 'vitest';
import { leftovers } from '../harness/checker/at-rest.ts';
import { statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const SECRET = 'correct-horse-battery-staple';

describe.each(onBothBackends({ workers: 0 }))('workers on $backend', ({ test }) => {
  test('a worker serves the lanes that it is told to, and the others wait for another one', async ({ api, stack }) => {
    const first = await stack.add('worker', { WORKER_LANES: 'test_task' });
    const run = await api.execute(
      await api.createWorkflow(
        workflow([
          echo('a'),
          { action_id: 'b', action_type: 'transform', config: { expression: '1 + 1' }, depends_on: ['a'] },
        ]),
      ),
    );
    await until(async () => taskOf(await api.execution(run), 'a').status === 'completed');
    await until(async () =>
      (await leftovers(stack)).some(({ queue, state }) => queue === 'transform' && state !== 'waiting-children'),
    );
    expect(statuses(await api.execution(run))).toEqual({ a: 'completed', b: 'pending' });
    const second = await stack.add('worker', { WORKER_LANES: 'transform' });
    expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { b: 2 } });
    await Promise.all([first.stop(), second.stop()]);
  });

  test('a worker tells of its health and its metrics on a port of its own', async ({ api, stack }) => {
    const worker = await stack.add('worker');
    await api.ended(await api.assign({ task_type: 'test_task' }));
    const health = await fetch(`http://127.0.0.1:${worker.port}/health`);
    expect(health.status).toBe(200);
    const metrics = async () => (await fetch(`http://127.0.0.1:${worker.port}/metrics`)).text();
    // With the two of the test before: what workers that have ended counted is told too.
    const three = /orchestrator_tasks_completed_total\{status="task_done"[^}]*\} 3\n/;
    await until(async () => three.test(await metrics()), { what: 'three tasks are counted' });
    expect(await metrics()).toContain('orchestrator_task_execution_seconds_bucket');
    await worker.stop();
  });

  test('a service is found in the registry of its tenant, and in no other', async ({ api, stack, db, service }) => {
    const worker = await stack.add('worker');
    await db.query(`INSERT INTO service (tenant_id, name, base_url) VALUES ('default', 'registered_one', $1)`, [
      service.url,
    ]);
    const call = {
      ...echo('call'),
      action_type: 'service_call',
      config: { service: 'registered_one', endpoint: '/x', parameters: { n: 1 } },
      retry: { max_attempts: 1 },
    };
    expect(await api.run(workflow([call]))).toMatchObject({
      status: 'completed',
      output: { call: { status: 200, response: { ok: true } } },
    });
    expect(service.calls).toMatchObject([{ method: 'POST', path: '/x', body: { n: 1 } }]);
    const elsewhere = await api.post('/workflows', workflow([call]), { 'x-tenant-id': 'another' });
    const id = (elsewhere.body as { workflow_id: string }).workflow_id; // Just created.
    const run = await api.execute(id, {}, { 'x-tenant-id': 'another' });
    const result = await api.get(`/result/${run}?wait=20`, { 'x-tenant-id': 'another' });
    expect(result.body).toMatchObject({ status: 'failed', error: expect.stringContaining('registered_one') });
    expect(service.calls).toHaveLength(1);
    await worker.stop();
  });

  test('a secret reaches the service and nothing else: no answer, no row, no job, no log', async ({
    api,
    stack,
    db,
    service,
  }) => {
    const worker = await stack.add('worker', { SECRET_TOKEN: SECRET });
    service.answer((call) => ({ body: { you_sent: call.headers['authorization'] } }));
    const call = {
      ...echo('call'),
      action_type: 'http_request',
      config: { url: service.url, headers: { Authorization: 'Bearer {{secrets.TOKEN}}' } },
    };
    const run = await api.run(workflow([call, echo('after', ['call'], { seen: '{{call.body.you_sent}}' })]));
    expect(run.status).toBe('completed');
    expect(service.calls[0]?.headers['authorization']).toBe(`Bearer ${SECRET}`);
    expect(JSON.stringify(run)).not.toContain(SECRET);
    expect(JSON.stringify(stack.log.lines)).not.toContain(SECRET);
    for (const table of ['run', 'task', 'attempt', 'event', 'workflow_version', 'bullmq.job']) {
      const { rowCount } = await db.query(`SELECT 1 FROM ${table} AS t WHERE strpos(t::text, $1) > 0`, [SECRET]);
      expect(rowCount, table).toBe(0);
    }
    await worker.stop();
  });
});

describe.each(onBothBackends({ environment: { ADMISSION_WINDOW: '5' } }))('a full window on $backend', ({ test }) => {
  test('runs beyond the window wait in the database, are accepted all the same, and all complete', async ({
    api,
    stack,
    db,
  }) => {
    const answer = await api.post('/assign-tasks', {
      tasks: Array.from({ length: 30 }, () => ({ task_type: 'test_task', params: { duration: 0.05 } })),
    });
    expect(answer.status).toBe(202);
    const most: number[] = [];
    await until(async () => {
      most.push((await leftovers(stack)).length);
      return (await db.query('SELECT 1 FROM run WHERE NOT final')).rowCount === 0;
    });
    // The count is sampled, so it may be passed by a little.
    expect(Math.max(...most)).toBeLessThanOrEqual(15);
  });
});
