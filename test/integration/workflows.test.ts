import { describe, expect } from 'vitest';
import { field, list } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

describe.each(onBothBackends())('workflows on $backend', ({ test, backend }) => {
  test('a workflow is created, read, listed, changed and deleted', async ({ api }) => {
    const created = await api.post(
      '/workflows/',
      { ...workflow([echo('a')]), description: 'first', tags: ['one'] },
      { 'x-user-id': 'ada@example.com' },
    );
    expect(created).toMatchObject({
      status: 201,
      body: { name: 'test', version: 1, status: 'active', created_by: 'ada@example.com', tags: ['one'] },
    });
    const id = field(created, 'workflow_id');
    expect(created.headers.get('location')).toMatch(new RegExp(`/workflows/${id}$`));
    expect((await api.get(`/workflows/${id}/`)).body).toEqual({
      ...(created.body as object), // A workflow.
      execution_statistics: {
        total_executions: 0,
        successful_executions: 0,
        failed_executions: 0,
        success_rate: null,
        average_execution_time: null,
        last_execution_at: null,
      },
    });

    const listed = await api.get('/workflows?created_by=ada@example.com&page_size=10');
    expect(listed.body).toMatchObject({
      total: 1,
      page: 1,
      page_size: 10,
      items: [{ workflow_id: id, actions_count: 1 }],
      pagination: { total_items: 1, has_next: false },
    });

    const changed = await api.put(`/workflows/${id}`, { description: 'Updated description', tags: ['updated', 'v2'] });
    expect(changed).toMatchObject({
      status: 200,
      body: { version: 2, description: 'Updated description', tags: ['updated', 'v2'], actions: [{ action_id: 'a' }] },
    });
    expect((await api.get(`/workflows/${id}?version=1`)).body).toMatchObject({ version: 1, description: 'first' });
    expectProblem(await api.get(`/workflows/${id}?version=3`), 404, 'not_found');
    expect(list(await api.get(`/workflows/${id}/versions`)).map((item) => item['version'])).toEqual([2, 1]);

    expect(await api.send('DELETE', `/workflows/${id}`)).toMatchObject({ status: 204, text: '' });
    expectProblem(await api.get(`/workflows/${id}`), 404, 'not_found');
    expectProblem(await api.post(`/workflows/${id}/execute`, {}), 404, 'not_found');
  });

  test('a change to a version that is no longer the newest is refused', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a')]));
    const etag = (await api.get(`/workflows/${id}`)).headers.get('etag') ?? '';
    expect(await api.put(`/workflows/${id}`, { description: 'mine' }, { 'if-match': etag })).toMatchObject({
      status: 200,
      body: { version: 2 },
    });
    expectProblem(
      await api.put(`/workflows/${id}`, { description: 'too late' }, { 'if-match': etag }),
      412,
      'precondition_failed',
    );
    expect((await api.get(`/workflows/${id}`)).body).toMatchObject({ version: 2, description: 'mine' });
  });

  test('runs under way keep the version they began with', async ({ api }) => {
    const id = await api.createWorkflow(
      workflow([echo('wait', [], { duration: 0.6 }), echo('after', ['wait'], { version: 'one' })]),
    );
    const run = await api.execute(id);
    await api.put(`/workflows/${id}`, { actions: [echo('only', [], { version: 'two' })] });
    expect(await api.finished(run)).toMatchObject({
      workflow_version: 1,
      status: 'completed',
      output: { after: { version: 'one' } },
    });
    expect(await api.finished(await api.execute(id))).toMatchObject({
      workflow_version: 2,
      output: { only: { version: 'two' } },
    });
    expect(await api.finished(await api.execute(id, { version: 1 }))).toMatchObject({
      workflow_version: 1,
      output: { after: { version: 'one' } },
    });
    expectProblem(await api.post(`/workflows/${id}/execute`, { version: 9 }), 404, 'not_found');
  });

  test('a paused workflow accepts no runs until it is active again', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a')]));
    expect(await api.put(`/workflows/${id}`, { status: 'paused' })).toMatchObject({
      status: 200,
      body: { status: 'paused', version: 1 },
    });
    expectProblem(await api.post(`/workflows/${id}/execute`, {}), 409, 'workflow_paused');
    await api.put(`/workflows/${id}`, { status: 'active' });
    expect(await api.finished(await api.execute(id))).toMatchObject({ status: 'completed' });
  });

  test('a workflow with active runs is deleted only by force, which cancels them; their history stays', async ({
    api,
  }) => {
    const id = await api.createWorkflow(
      workflow([{ action_id: 'long', action_type: 'wait', config: { seconds: 600 } }]),
    );
    const run = await api.execute(id);
    expectProblem(await api.send('DELETE', `/workflows/${id}`), 409, 'active_runs');
    expect(await api.send('DELETE', `/workflows/${id}?force=true`)).toMatchObject({ status: 204 });
    expect(await api.finished(run)).toMatchObject({ status: 'cancelled', workflow_id: id });
    expect(list(await api.get(`/workflows/${id}/executions`)).map((item) => item['execution_id'])).toEqual([run]);
  });

  test('dry_run answers the plan and runs nothing', async ({ api, db }) => {
    const id = await api.createWorkflow(workflow([echo('c', ['a', 'b']), echo('a'), echo('b', ['a'])]));
    for (const answer of [
      await api.post(`/workflows/${id}/execute`, { dry_run: true }),
      await api.post(`/workflows/${id}/execute?dry_run=true`),
    ]) {
      expect(answer).toMatchObject({ status: 200, body: { dry_run: true, order: ['a', 'b', 'c'] } });
    }
    expect((await db.query('SELECT 1 FROM run WHERE workflow_id = $1', [id])).rowCount).toBe(0);
  });

  test('an execution is accepted with its links, and shows its progress and tasks', async ({ api }) => {
    const id = await api.createWorkflow(
      workflow([echo('a', [], { n: 1 }), echo('b', ['a'])], {
        parameters: [{ name: 'x', type: 'integer', default: 3 }],
      }),
    );
    const answer = await api.post(
      `/workflows/${id}/execute`,
      { correlation_id: 'corr-1', priority: 10 },
      { 'x-user-id': 'ada' },
    );
    const run = field(answer, 'execution_id');
    expect(answer).toMatchObject({
      status: 202,
      body: {
        workflow_id: id,
        workflow_version: 1,
        status: 'pending',
        links: { self: `/workflows/executions/${run}` },
      },
    });
    expect(answer.headers.get('location')).toBe(`/workflows/executions/${run}`);
    expect(await api.finished(run)).toMatchObject({
      execution_id: run,
      status: 'completed',
      parameters: { x: 3 },
      output: { b: {} },
      error: null,
      progress: { total: 2, completed: 2, failed: 0, skipped: 0, running: 0, pending: 0, percent: 100 },
      tasks: [
        {
          action_id: 'a',
          action_type: 'test_task',
          status: 'completed',
          attempts: 1,
          input: { n: 1 },
          output: { n: 1 },
          worker: expect.any(String),
        },
        { action_id: 'b', status: 'completed', finished_at: expect.any(String) },
      ],
      correlation_id: 'corr-1',
      tenant_id: 'default',
      user_id: 'ada',
      started_at: expect.any(String),
    });
    expect(await api.get(`/workflows/executions/${run}`, { 'x-tenant-id': 'other' })).toMatchObject({
      status: 404,
      body: { detail: 'Execution not found' },
    });
  });

  test('parameters are checked against the declaration, all faults at once; undeclared ones are a warning', async ({
    api,
  }) => {
    const parameters = [
      { name: 'count', type: 'integer' },
      { name: 'mode', type: 'string', enum: ['fast', 'slow'], default: 'fast' },
      { name: 'who', type: 'string', required: true },
    ];
    const id = await api.createWorkflow(
      workflow([echo('a', [], { count: '{{count}}', mode: '{{params.mode}}' })], { parameters }),
    );
    const refused = await api.post(`/workflows/${id}/execute`, { parameters: { count: 'many', mode: 'odd' } });
    expectProblem(refused, 400, 'parameter_validation_failed');
    expect(refused.body).toMatchObject({
      errors: expect.arrayContaining(
        ['count', 'mode', 'who'].map((name) => expect.objectContaining({ path: `parameters.${name}` })),
      ),
    });
    const known = { count: 2, who: 'Ada' };
    const strict = await api.post(`/workflows/${id}/execute?strict=true`, { parameters: { ...known, more: 1 } });
    expect(strict.status).toBe(400);
    const answer = await api.post(`/workflows/${id}/execute`, { parameters: { ...known, more: 1 } });
    expect(answer).toMatchObject({ status: 202, body: { warnings: [expect.stringContaining('more')] } });
    expect(await api.finished(field(answer, 'execution_id'))).toMatchObject({
      output: { a: { count: 2, mode: 'fast' } },
    });
  });

  test('one idempotency key executed fifty times at once begins one run', async ({ api, db }) => {
    const id = await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])]));
    const inHeader = () => api.execute(id, { parameters: {} }, { 'idempotency-key': `wf-${backend}` });
    const inBody = () => api.execute(id, { parameters: {}, idempotency_key: `wf-${backend}` });
    const ids = new Set(
      await Promise.all(Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? inHeader() : inBody()))),
    );
    expect(ids.size).toBe(1);
    const [run = ''] = ids;
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(await inHeader()).toBe(run);
    expect((await db.query('SELECT 1 FROM run WHERE workflow_id = $1', [id])).rowCount).toBe(1);
    expectProblem(
      await api.post(`/workflows/${id}/execute`, { parameters: { n: 1 } }, { 'idempotency-key': `wf-${backend}` }),
      409,
      'idempotency_conflict',
    );
    const both = await api.post(`/workflows/${id}/execute`, { idempotency_key: 'one' }, { 'idempotency-key': 'two' });
    expect(both.status).toBe(400);
  });

  test('many executions at once are answered one by one', async ({ api }) => {
    const id = await api.createWorkflow(
      workflow([echo('a', [], { n: '{{n}}' })], { parameters: [{ name: 'n', type: 'integer' }] }),
    );
    const answer = await api.post(`/workflows/${id}/executions`, {
      items: [{ parameters: { n: 1 } }, { parameters: { n: 'x' } }, { parameters: { n: 3 } }],
    });
    const items = list(answer);
    expect(answer.status).toBe(202);
    expect(items).toMatchObject([
      { index: 0, status: 'pending' },
      { index: 1, error: { code: 'parameter_validation_failed' } },
      { index: 2, status: 'pending' },
    ]);
    expect(await api.finished(String(items[0]?.['execution_id']))).toMatchObject({ output: { a: { n: 1 } } });
    expect(await api.finished(String(items[2]?.['execution_id']))).toMatchObject({ output: { a: { n: 3 } } });
  });

  test('executions are listed newest first, filtered, and page by page without a gap or a double', async ({ api }) => {
    const id = await api.createWorkflow(
      workflow([echo('a', [], { fail_with: '{{fail}}' }, { retry: { max_attempts: 1 } })], {
        parameters: [{ name: 'fail', type: 'string' }],
      }),
    );
    const runs: string[] = [];
    for (let n = 0; n < 7; n += 1)
      runs.push(
        await api.execute(id, {
          parameters: { fail: `no ${n}` },
          correlation_id: n % 2 === 0 ? `even-${backend}` : `odd-${backend}`,
        }),
      );
    for (const run of runs) await api.finished(run);
    const other = await api.assign({ task_type: 'test_task', correlation_id: `even-${backend}` });
    await api.ended(other);

    const newest = [...runs].reverse();
    const seen: unknown[] = [];
    let cursor: unknown = '';
    while (cursor !== null) {
      const page = await api.get(
        `/workflows/${id}/executions?limit=3${cursor === '' ? '' : `&cursor=${encodeURIComponent(String(cursor))}`}`,
      );
      expect(page.body).toMatchObject({ total: 7 });
      seen.push(...list(page).map((item) => item['execution_id']));
      cursor = (page.body as { next_cursor: unknown }).next_cursor; // Keyset lists have it.
    }
    expect(seen).toEqual(newest);

    const even = await api.get(`/executions?correlation_id=even-${backend}`);
    expect(even.body).toMatchObject({ total: 5 });
    expect(list(even, 'executions').map((item) => item['execution_id'])).toEqual([
      other,
      ...newest.filter((run) => runs.indexOf(run) % 2 === 0),
    ]);
    expect((await api.get(`/executions?workflow_id=${id}&status=failed`)).body).toMatchObject({ total: 7 });
    expect((await api.get(`/executions?workflow_id=${id}&status=completed`)).body).toMatchObject({
      total: 0,
      items: [],
    });
    expectProblem(await api.get('/executions?status=done'), 400, 'invalid_request');
    expectProblem(await api.get('/executions?cursor=nonsense'), 400, 'invalid_request');
  });

  test('a delayed execution does not begin before its time', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a')]));
    const run = await api.execute(id, { delay_seconds: 1 });
    expect(await api.execution(run)).toMatchObject({ status: 'pending', started_at: null });
    const { created_at, started_at } = await api.finished(run);
    expect(Date.parse(started_at ?? '') - Date.parse(created_at)).toBeGreaterThanOrEqual(1_000);
  });

  test('older spellings of a definition are taken', async ({ api }) => {
    const run = await api.run(
      {
        name: 'older',
        parameters: [
          { name: 'ratio', type: 'float', default_value: 0.5 },
          { name: 'kind', type: 'string', allowed_values: ['a', 'b'], default_value: 'a' },
        ],
        actions: [
          {
            name: 'First Step',
            action_type: 'test_task',
            config: { ratio: '{{ratio}}' },
            retry_count: 0,
            retry_delay: 1,
          },
          {
            action_id: 'broken',
            action_type: 'test_task',
            config: { fail_with: 'no' },
            retry_count: 0,
            continue_on_error: true,
          },
          {
            action_id: 'second',
            action_type: 'test_task',
            config: { got: '{{first_step.ratio}}' },
            depends_on: ['first_step', 'broken'],
            condition: "params.kind == 'a'",
          },
        ],
      },
      {},
    );
    expect(run).toMatchObject({
      status: 'completed',
      output: { second: { got: 0.5 } },
      tasks: [{ action_id: 'first_step' }, { status: 'failed', attempts: 1 }, { status: 'completed' }],
    });
  });

  test('the flow form of a definition runs', async ({ api }) => {
    const run = await api.run({
      id: 'flow-1',
      version: '1.0',
      type: 'DAG',
      tasks: [
        { id: 'one', handler: 'test_task', inputs: { n: 1 }, retries: 0, timeout: 30 },
        { id: 'two', handler: 'test_task', inputs: { sum: '{{one.n}}' }, depends_on: ['one'] },
      ],
    });
    expect(run).toMatchObject({ status: 'completed', output: { two: { sum: 1 } } });
  });

  test('a definition that cannot work is refused and says where', async ({ api, db }) => {
    const before = await db.query('SELECT count(*) FROM workflow');
    const cycle = await api.post('/workflows', workflow([echo('a', ['b']), echo('b', ['a'])]));
    expectProblem(cycle, 422, 'definition_invalid');
    const wrong = await api.post(
      '/workflows',
      workflow([
        echo('a', ['nobody']),
        { action_id: 'b', action_type: 'test_tusk', config: {} },
        echo('c', [], { x: '{{unknown.y}}' }),
      ]),
    );
    expectProblem(wrong, 422, 'definition_invalid');
    expect(wrong.body).toMatchObject({
      errors: expect.arrayContaining([
        expect.objectContaining({ path: 'actions.0.depends_on.0' }),
        expect.objectContaining({ path: 'actions.1.action_type', message: expect.stringContaining('test_task') }),
        expect.objectContaining({ path: expect.stringMatching(/^actions\.2\.config/) }),
      ]),
    });
    expect((await db.query('SELECT count(*) FROM workflow')).rows).toEqual(before.rows);
  });

  test('the status of an execution goes from pending over running to its end', async ({ api }) => {
    const run = await api.execute(await api.createWorkflow(workflow([echo('a', [], { duration: 1.2 })])));
    await until(async () => (await api.execution(run)).status === 'running', { what: 'it is shown as running' });
    expect(await api.execution(run)).toMatchObject({
      progress: { running: 1 },
      tasks: [{ status: 'running', started_at: expect.any(String) }],
    });
    expect(await api.finished(run)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }] });
  });
});
