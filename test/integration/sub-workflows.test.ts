/** A workflow that begins others: results, failures, cancellation and retries travel between the executions. */
import { describe, expect } from 'vitest';
import { type Client, list, statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, QUICK_RETRY, type TestAction, workflow } from '../support/test-task.ts';

function sub(id: string, config: object, more: object = {}): TestAction {
  return { action_id: id, action_type: 'workflow', config, ...more };
}

const sleeping = (seconds = 600) => workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds } }]);

/** The child of a task, once there is one. */
function childOf(api: Client, run: string, actionId: string): Promise<string> {
  return until(async () => taskOf(await api.execution(run), actionId).child?.execution_id, {
    what: `${actionId} of ${run} has begun its execution`,
  });
}

describe.each(onBothBackends())('sub-workflows on $backend', ({ test }) => {
  test('a child has its own page, inherits from its parent, and its output is that of the task', async ({ api }) => {
    const parameters = [{ name: 'word', type: 'string', required: true }];
    const child = await api.createWorkflow(
      workflow([echo('say', [], { word: '{{word}}' })], {
        parameters,
        output: { said: '{{say.word}}' },
        name: 'sayer',
      }),
    );
    const parent = await api.createWorkflow(
      workflow([
        echo('first'),
        sub('one', { workflow_id: child, parameters: { word: 'hello' } }, { depends_on: ['first'] }),
        sub('two', { name: 'sayer', version: 1, parameters: { word: '{{one.output.said}}' } }),
        sub('alone', { workflow_id: child, parameters: { word: 'bye' }, wait: false }, { depends_on: ['first'] }),
        echo('last', ['two', 'alone'], { word: '{{two.output.said}}' }),
      ]),
    );
    const run = await api.execute(parent, { priority: 7, correlation_id: 'c-1' });
    const found = await api.finished(run);
    expect(found).toMatchObject({ status: 'completed', parent: null });
    expect(taskOf(found, 'last').output).toMatchObject({ word: 'hello' });
    const one = taskOf(found, 'one');
    expect(one).toMatchObject({ status: 'completed', attempts: 1, child: { status: 'completed' } });
    expect(one.output).toEqual({
      execution_id: one.child?.execution_id,
      status: 'completed',
      output: { said: 'hello' },
    });
    expect(one.child?.link).toBe(`/workflows/executions/${one.child?.execution_id}`);
    const alone = taskOf(found, 'alone');
    expect(alone.output).toEqual({ execution_id: alone.child?.execution_id, status: 'pending', output: null });
    const below = await api.finished(one.child?.execution_id ?? '');
    expect(below).toMatchObject({
      status: 'completed',
      parent: { execution_id: run, action_id: 'one', link: `/workflows/executions/${run}` },
      priority: 7,
      correlation_id: 'c-1',
      trace_id: found['trace_id'],
      parameters: { word: 'hello' },
    });
    expect(await api.finished(alone.child?.execution_id ?? '')).toMatchObject({ status: 'completed' });
    const children = list(await api.get(`/executions?parent=${run}`));
    expect(children.map(({ parent: above }) => (above as { action_id: string }).action_id).sort()).toEqual([
      'alone',
      'one',
      'two',
    ]);
    const plan = await api.post(`/workflows/${parent}/execute`, { dry_run: true });
    expect(plan.body).toMatchObject({
      sub_workflows: [{ action_id: 'one', workflow_id: child }, { action_id: 'two', name: 'sayer', version: 1 }, {}],
    });
  });

  test('a fan-out begins an execution for each item, and is cancelled with all of them', async ({ api, db }) => {
    const parameters = [{ name: 'seconds', type: 'number', required: true }];
    const pause = { action_id: 'pause', action_type: 'wait', config: { seconds: '{{seconds}}' } };
    const child = await api.createWorkflow(workflow([pause], { parameters, output: '{{params.seconds}}' }));
    const each = (items: number[]) =>
      workflow([sub('each', { workflow_id: child, parameters: { seconds: '{{item}}' } }, { for_each: { items } })]);
    const done = await api.run(each([0, 0.1, 0.2]));
    expect(taskOf(done, 'each')).toMatchObject({
      status: 'completed',
      output: [{ output: 0 }, { output: 0.1 }, { output: 0.2 }],
    });
    const below = list(await api.get(`/executions?parent=${done.execution_id}`));
    expect(below.map(({ parent }) => (parent as { action_id: string }).action_id).sort()).toEqual([
      'each[0]',
      'each[1]',
      'each[2]',
    ]);
    const run = await api.execute(await api.createWorkflow(each([600, 600])));
    const states = async () =>
      (await db.query('SELECT status FROM run WHERE parent_run_id = $1', [run])).rows.map(({ status }) => status);
    await until(async () => (await states()).filter((status) => status === 'waiting').length === 2);
    await api.post(`/workflows/executions/${run}/cancel`);
    expect(await api.finished(run)).toMatchObject({ status: 'cancelled' });
    expect(await states()).toEqual(['cancelled', 'cancelled']);
  });

  test('what cannot be begun makes the task fail, with all faults, or be tried again where that may help', async ({
    api,
  }) => {
    const parameters = [
      { name: 'a', type: 'integer', required: true },
      { name: 'b', type: 'boolean', required: true },
    ];
    const strict = await api.createWorkflow(workflow([echo('x')], { parameters }));
    const found = await api.run(workflow([sub('go', { workflow_id: strict, parameters: { a: 'x', b: 1 } })]));
    expect(taskOf(found, 'go')).toMatchObject({ status: 'failed', attempts: 1 });
    expect(found.error).toMatchObject({ code: 'parameter_validation_failed' });
    expect(JSON.stringify(found.error)).toMatch(/a: .*b: /);
    const unknown = await api.run(workflow([sub('go', { name: 'there is none' })]));
    expect(unknown.error).toMatchObject({ code: 'not_found' });

    const paused = await api.createWorkflow(workflow([echo('x')]));
    await api.put(`/workflows/${paused}`, { status: 'paused' });
    const run = await api.execute(await api.createWorkflow(workflow([sub('go', { workflow_id: paused })])));
    await until(async () => taskOf(await api.execution(run), 'go').status === 'retrying');
    await api.put(`/workflows/${paused}`, { status: 'active' });
    expect(await api.finished(run)).toMatchObject({ status: 'completed', tasks: [{ attempts: 2 }] });
  });

  test('a failed child makes the task fail; it is begun anew only where the action says so, once for each attempt', async ({
    api,
  }) => {
    const bad = await api.createWorkflow(workflow([failing('bad')]));
    const once = await api.run(workflow([sub('go', { workflow_id: bad })]));
    const child = taskOf(once, 'go').child?.execution_id;
    expect(once.error).toMatchObject({
      code: 'child_failed',
      details: { execution_id: child, status: 'failed', error: { action_id: 'bad' } },
    });
    expect(taskOf(once, 'go').attempts).toBe(1);
    const again = await api.run(workflow([sub('go', { workflow_id: bad }, { retry: QUICK_RETRY })]));
    expect(taskOf(again, 'go').attempts).toBe(2);
    expect(list(await api.get(`/executions?parent=${again.execution_id}`))).toHaveLength(2);
  });

  test('a retry by hand goes on with the child: what completed inside it is kept', async ({ api, service }) => {
    service.answer(({ path }) =>
      path === '/flaky' && service.calls.length < 3 ? { status: 404, body: 'no' } : { status: 200, body: '{}' },
    );
    const call = (id: string, dependsOn: string[] = []) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/${id}` },
      depends_on: dependsOn,
    });
    const child = await api.createWorkflow(workflow([call('good'), call('flaky', ['good'])]));
    const run = await api.execute(
      await api.createWorkflow(workflow([sub('go', { workflow_id: child }), echo('end', ['go'])])),
    );
    const failed = await api.finished(run);
    expect(failed).toMatchObject({ status: 'failed' });
    const below = taskOf(failed, 'go').child?.execution_id;
    expect((await api.post(`/workflows/executions/${run}/retry`)).status).toBe(202);
    const found = await api.finished(run);
    expect(statuses(found)).toEqual({ go: 'completed', end: 'completed' });
    expect(taskOf(found, 'go').child?.execution_id).toBe(below);
    expect(service.calls.map(({ path }) => path)).toEqual(['/good', '/flaky', '/flaky']);
    expect(list(await api.get(`/executions?parent=${run}`))).toHaveLength(1);
  });

  test('cancelling the parent cancels children and grandchildren, and it ends after them; a child alone makes the task fail', async ({
    api,
    db,
  }) => {
    const leaf = await api.createWorkflow(sleeping());
    const middle = await api.createWorkflow(workflow([sub('leaf', { workflow_id: leaf })]));
    const top = await api.createWorkflow(workflow([sub('middle', { workflow_id: middle }), echo('after', ['middle'])]));
    const begin = async () => {
      const run = await api.execute(top);
      const child = await childOf(api, run, 'middle');
      return [run, child, await childOf(api, child, 'leaf')] as const;
    };
    const cancelled = await begin();
    expect((await api.post(`/workflows/executions/${cancelled[0]}/cancel`, { reason: 'enough' })).status).toBe(202);
    expect(await api.finished(cancelled[0])).toMatchObject({ status: 'cancelled', cancel_reason: 'enough' });
    const { rows } = await db.query(
      'SELECT id, status FROM run WHERE id = ANY($1) AND final ORDER BY finished_at, depth DESC NULLS LAST',
      [cancelled],
    );
    expect(rows).toEqual([...cancelled].reverse().map((id) => ({ id, status: 'cancelled' })));

    const [run, child] = await begin();
    await api.post(`/workflows/executions/${child}/cancel`);
    const found = await api.finished(run);
    expect(found).toMatchObject({
      status: 'failed',
      error: { code: 'child_cancelled', details: { execution_id: child } },
    });
    expect(statuses(found)).toEqual({ middle: 'failed', after: 'upstream_failed' });
  });

  test('recursion is refused when it is created, and by the executions above where only they know', async ({ api }) => {
    const name = `loop ${Math.random()}`;
    const self = await api.post(
      '/workflows',
      workflow([echo('a'), sub('b', { name }, { depends_on: ['a'] })], { name }),
    );
    expect(self).toMatchObject({
      status: 422,
      body: { code: 'definition_invalid', errors: [{ path: 'actions.1.config.name' }] },
    });
    const a = await api.createWorkflow(workflow([echo('x')]));
    const b = await api.createWorkflow(workflow([sub('to_a', { workflow_id: a })]));
    const through = await api.put(`/workflows/${a}`, { actions: [sub('to_b', { workflow_id: b })] });
    expect(through).toMatchObject({ status: 422, body: { errors: [{ path: 'actions.0.config.workflow_id' }] } });
    const nowhere = await api.post(
      '/workflows',
      workflow([sub('go', { workflow_id: 'none' }), sub('or', { workflow_id: a, version: 9 })]),
    );
    expect((nowhere.body as { errors: unknown[] }).errors).toHaveLength(2);

    const parameters = [{ name: 'next', type: 'string' }];
    const any = await api.createWorkflow(
      workflow([sub('go', { workflow_id: '{{next}}', parameters: { next: '{{next}}' } })], { parameters }),
    );
    const other = await api.createWorkflow(workflow([sub('back', { workflow_id: any, parameters: { next: 'x' } })]));
    const found = await api.finished(await api.execute(any, { parameters: { next: other } }));
    expect(found).toMatchObject({ status: 'failed', error: { code: 'child_failed' } });
    expect(JSON.stringify(found.error)).toContain('workflow_recursion');
  });
});

describe.each(onBothBackends({ environment: { ADMISSION_WINDOW: '2', MAX_RUN_DEPTH: '1' } }))(
  'a window that is full of waiting parents on $backend',
  ({ test }) => {
    test('lets their children through, as deep as they may be', async ({ api }) => {
      const leaf = await api.createWorkflow(workflow([echo('x')]));
      const top = await api.createWorkflow(workflow([sub('leaf', { workflow_id: leaf })]));
      const runs = await Promise.all(Array.from({ length: 5 }, () => api.execute(top)));
      for (const run of runs) expect(await api.finished(run)).toMatchObject({ status: 'completed' });
      const over = await api.run(workflow([sub('top', { workflow_id: top })]));
      expect(JSON.stringify(over.error)).toContain('run_too_deep');
    });
  },
);
