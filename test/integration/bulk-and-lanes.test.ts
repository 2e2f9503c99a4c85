/** What is done to many executions at once, to a workflow and to a lane. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { createWorkflowPauses } from '../../src/store/runs/control-events.ts';
import { createControlOperationStore } from '../../src/store/runs/control-operations.ts';
import { accepted, type Client, list, statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const LONG_WAIT = { action_type: 'wait', config: { seconds: 600 } };
const bulk = async (api: Client, verb: 'cancel' | 'retry', body: object, status = 202) =>
  accepted(await api.post(`/executions/bulk/${verb}`, body), status).body;

describe.each(onBothBackends({ workers: 2 }))('control beyond one execution on $backend', ({ test }) => {
  test('many are cancelled and retried by a filter, after a look at how many, whose, and what would act again', async ({
    api,
    service,
    db,
  }) => {
    const call = (id: string, more: object = {}) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/${id}` },
      ...more,
    });
    const id = await api.createWorkflow(
      workflow([
        call('done'),
        { action_id: 'asleep', ...LONG_WAIT, depends_on: ['done'] },
        call('below', { depends_on: ['asleep'] }),
        call('fails', { depends_on: ['done'], on_failure: 'continue', retry: { max_attempts: 1 } }),
        echo('again', ['fails'], {}, { idempotent: false }),
      ]),
    );
    service.answer(({ path }) => ({ status: path === '/fails' ? 400 : 200, body: {} }));
    const begin = (user: string) => api.execute(id, {}, { 'x-user-id': user });
    const runs = [await begin('ada'), await begin('ada'), await begin('bob')];
    const elsewhere = await api
      .execute(id, {}, { 'x-user-id': 'eve', 'x-tenant-id': 'another' })
      .catch(() => undefined);
    expect(elsewhere, 'another tenant has no such workflow').toBeUndefined();
    for (const run of runs) {
      await until(async () => {
        const now = statuses(await api.execution(run));
        return now['asleep'] === 'waiting' && now['again'] === 'completed';
      });
    }
    expectProblem(await api.post('/executions/bulk/cancel', { filter: {} }), 400, 'invalid_request');
    const filter = { workflow_id: id };
    expect(await bulk(api, 'cancel', { filter, dry_run: true }, 200)).toEqual({
      dry_run: true,
      matched: 3,
      executions: 3,
      actions: 6,
      tenant_id: 'default',
      users: { ada: 2, bob: 1 },
      workflows: { [id]: 3 },
      acts_again: [],
    });
    expect(await bulk(api, 'retry', { filter }), 'none has ended').toMatchObject({ matched: 0, executions: 0 });
    expect(await bulk(api, 'cancel', { filter: { execution_ids: runs.slice(0, 2) }, reason: 'enough' })).toEqual({
      dry_run: false,
      matched: 2,
      executions: 2,
    });
    for (const run of runs.slice(0, 2)) expect(await api.finished(run)).toMatchObject({ status: 'cancelled' });
    await until(async () => (await api.execution(runs[2] ?? '')).status === 'waiting', { what: 'the third sleeps on' });
    expect(await bulk(api, 'retry', { filter, dry_run: true }, 200)).toMatchObject({
      executions: 2,
      // What did not complete, and what stands below it.
      actions: 8,
      users: { ada: 2 },
      acts_again: [
        { workflow_id: id, action_id: 'fails', action_type: 'http_request', executions: 2 },
        { workflow_id: id, action_id: 'again', action_type: 'test_task', executions: 2 },
      ],
    });
    expect(await bulk(api, 'retry', { filter, reason: 'after all' })).toMatchObject({ matched: 2, executions: 2 });
    for (const run of runs) await until(async () => taskOf(await api.execution(run), 'asleep').status === 'waiting');
    expect(await bulk(api, 'cancel', { filter })).toMatchObject({ executions: 3 });
    for (const run of runs) await api.ended(run);
    expect(service.calls.filter(({ path }) => path === '/done')).toHaveLength(3);
    const { rows } = await db.query<{ kind: string; data: object }>(
      `SELECT kind, data - 'reopened' AS data FROM event WHERE run_id = $1 AND kind IN ('run.cancelling', 'run.retried') ORDER BY id`,
      [runs[0]],
    );
    expect(rows).toEqual([
      { kind: 'run.cancelling', data: { by: 'anonymous', reason: 'enough' } },
      { kind: 'run.retried', data: { by: 'anonymous', reason: 'after all' } },
      { kind: 'run.cancelling', data: { by: 'anonymous', reason: null } },
    ]);
  });

  test('a workflow is paused with its runs, and says who did so; nobody else is touched', async ({ api }) => {
    const asleep = workflow([{ action_id: 'asleep', ...LONG_WAIT }]);
    const id = await api.createWorkflow(asleep);
    const run = await api.execute(id);
    const other = await api.execute(await api.createWorkflow(asleep));
    const verb = (name: string, body: object) => api.post(`/workflows/${id}/${name}`, body);
    expectProblem(await verb('resume', {}), 409, 'conflict');
    expect(accepted(await verb('pause', { reason: 'repair' }), 202).body).toMatchObject({
      status: 'paused',
      executions: 0,
    });
    expectProblem(await api.post(`/workflows/${id}/execute`), 409, 'workflow_paused');
    expectProblem(await verb('pause', {}), 409, 'conflict');
    expect(await api.execution(run)).toMatchObject({ status: expect.not.stringMatching('paused') });
    expect(accepted(await verb('pause', { runs: 'pause' }), 202).body).toMatchObject({ executions: 1 });
    expect(await api.execution(run)).toMatchObject({ status: 'paused', paused: { by: 'anonymous' } });
    expect(await api.execution(other)).not.toMatchObject({ status: 'paused' });
    expect((await api.get(`/workflows/${id}`)).body).toMatchObject({
      status: 'paused',
      paused: { by: 'anonymous', reason: 'repair' },
    });
    expect(accepted(await verb('resume', { runs: 'resume' }), 202).body).toMatchObject({
      status: 'active',
      executions: 1,
    });
    expect(await api.execution(run)).not.toMatchObject({ status: 'paused' });
    await api.put(`/workflows/${id}`, { status: 'archived' });
    expectProblem(await verb('pause', {}), 409, 'conflict');
    const events = list(await api.get(`/control-events?subject=workflow&subject_id=${id}&limit=2`));
    expect(events).toMatchObject([
      { kind: 'workflow.archived' },
      { kind: 'workflow.resumed', details: { runs: 'resume' } },
    ]);
    const { next_cursor: cursor } = (await api.get(`/control-events?subject_id=${id}&limit=2`)).body as {
      next_cursor: string;
    };
    expect(list(await api.get(`/control-events?subject_id=${id}&cursor=${cursor}`))).toMatchObject([
      { kind: 'workflow.paused', by: 'anonymous', reason: 'repair', details: { runs: 'keep' } },
    ]);
    for (const one of [run, other]) await api.post(`/workflows/executions/${one}/cancel`);
    for (const one of [run, other]) await api.ended(one);
  });

  test('an operation that was just asked for is taken by nobody but who asked, and after a moment by anybody', async ({
    api,
    db,
  }) => {
    const id = await api.createWorkflow(workflow([echo('a')]));
    const caller = { tenantId: 'default', userId: 'ada', correlationId: undefined, traceId: '' };
    const ask = (pool: pg.Pool, operationId: string, from: 'active' | 'paused', to: 'active' | 'paused') =>
      createWorkflowPauses(pool).setStatus(caller, id, { from, to, reason: undefined, runs: 'pause', operationId });
    // In a transaction the clock of the database stands still, and nobody else sees what is asked for.
    const client = await db.connect();
    const inside = client as unknown as pg.Pool; // The stores ask nothing else of it.
    try {
      await client.query('BEGIN');
      await ask(inside, 'first', 'active', 'paused');
      const operations = createControlOperationStore(inside);
      expect(await operations.take('a worker', 60_000)).toBeUndefined();
      const held = await operations.take('the API', 60_000, 'first');
      expect(held).toMatchObject({ id: 'first', lease: 'the API' });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    await ask(db, 'second', 'active', 'paused');
    const second = () => createControlOperationStore(db).find('default', 'second');
    await until(async () => (await second())?.status === 'completed', {
      what: 'a worker has done what nobody else has',
    });
  });

  test('nothing is taken from a paused lane, whatever becomes of the queue, until it is resumed', async ({
    api,
    stack,
  }) => {
    const lane = async () => list(await api.get('/lanes')).find((one) => one['lane'] === 'transform');
    const verb = (name: string, body?: object) => api.post(`/lanes/transform/${name}`, body);
    expectProblem(await api.post('/lanes/nobody/pause'), 404, 'not_found');
    expectProblem(await verb('resume'), 409, 'conflict');
    accepted(await verb('pause', { reason: 'hot' }), 202);
    expectProblem(await verb('pause'), 409, 'conflict');
    const run = await api.execute(
      await api.createWorkflow(
        workflow([
          echo('a'),
          { action_id: 'held', action_type: 'transform', config: { expression: '1 + 1' }, depends_on: ['a'] },
        ]),
      ),
    );
    await until(async () => (await lane())?.['depth'] === 1);
    expect(await lane()).toMatchObject({ paused: true, by: 'anonymous', reason: 'hot', since: expect.any(String) });
    const others = list(await api.get('/lanes', { 'x-tenant-id': 'another' }));
    expect(others.find((one) => one['lane'] === 'transform')).toMatchObject({ paused: true, by: null });
    // The queue forgets that it is paused, and a worker begins that knows nothing of it.
    if (stack.redis === undefined)
      await stack.db.query(`DELETE FROM bullmq.meta WHERE queue = 'transform' AND field = 'paused'`);
    else await stack.redis.hdel(`${stack.queuePrefix}:transform:meta`, 'paused');
    const isHeld = async () =>
      stack.redis === undefined
        ? (
            await stack.db.query(
              `SELECT 1 FROM bullmq.meta WHERE queue = 'transform' AND field = 'paused' AND value = '1'`,
            )
          ).rowCount === 1
        : (await stack.redis.hexists(`${stack.queuePrefix}:transform:meta`, 'paused')) === 1;
    await until(isHeld, { what: 'a worker has applied the pause again' });
    const ahead = await api.execute(
      await api.createWorkflow(
        workflow([{ action_id: 'held', action_type: 'transform', config: { expression: '1' } }]),
      ),
    );
    await until(async () => Number((await lane())?.['depth']) > 0);
    expect(taskOf(await api.execution(ahead), 'held').status).toBe('pending');
    accepted(await verb('resume'), 202);
    expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { held: 2 } });
    expect(await api.finished(ahead)).toMatchObject({ status: 'completed' });
    expect(await lane()).toMatchObject({ paused: false, by: null, depth: 0 });
    // Whoever resumed it died before the queue knew: the workers let it go.
    accepted(await verb('pause'), 202);
    await until(isHeld);
    await stack.db.query('DELETE FROM lane_pause');
    await until(async () => !(await isHeld()), { what: 'a worker has let it go' });
    expect(list(await api.get('/control-events?subject=lane'))).toMatchObject([
      { kind: 'lane.paused' },
      { kind: 'lane.resumed' },
      { kind: 'lane.paused', subject_id: 'transform', reason: 'hot', details: null },
    ]);
  });
});
