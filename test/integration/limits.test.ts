import { describe, expect } from 'vitest';
import { list, statuses } from '../harness/client/client.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, QUICK_RETRY, type TestAction, workflow } from '../support/test-task.ts';

const ONCE = { retry: { max_attempts: 1 } };
function fetching(id: string, url: string): TestAction {
  return { action_id: id, action_type: 'http_request', config: { url }, ...ONCE };
}

describe.each(onBothBackends())('limits and bad input on $backend', ({ test }) => {
  test('a body over the limit is refused and leaves nothing', async ({ api, db }) => {
    const before = await db.query('SELECT count(*) FROM run');
    const answer = await api.post('/assign-task', { task_type: 'test_task', params: { text: 'x'.repeat(1_100_000) } });
    expectProblem(answer, 413, 'payload_too_large');
    expect((await db.query('SELECT count(*) FROM run')).rows).toEqual(before.rows);
  });

  test('what is not JSON, or not said to be, is refused', async ({ api }) => {
    expectProblem(await api.post('/assign-task', '{"task_type": "test_task"'), 400, 'malformed_json');
    expectProblem(
      await api.post('/assign-task', 'task_type=test_task', { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
    );
    expectProblem(await api.post('/assign-task', '[]'), 400, 'invalid_request');
  });

  test('a body nested too deeply is refused, whatever reads it', async ({ api }) => {
    const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
    for (const levels of [150, 20_000]) {
      const answer = await api.post('/assign-task', `{"task_type":"test_task","params":${deep(levels)}}`);
      expectProblem(answer, 400, 'invalid_request');
      expect(answer.text).toContain('deep');
    }
    expect(await api.ended(await api.assign({ task_type: 'test_task', params: JSON.parse(deep(50)) }))).toMatchObject({
      status: 'completed',
    });
  });

  test('NUL characters, lone surrogates and keys that change prototypes are refused, each with its place', async ({
    api,
    db,
  }) => {
    const before = await db.query('SELECT count(*) FROM run');
    for (const [params, path] of [
      ['{"a":"x\\u0000y"}', 'params.a'],
      ['{"a":["\\ud800"]}', 'params.a.0'],
      ['{"__proto__":{"admin":true}}', 'params'],
      ['{"a\\u0000":1}', 'params'],
    ] as const) {
      const answer = await api.post('/assign-task', `{"task_type":"test_task","params":${params}}`);
      expectProblem(answer, 400, 'invalid_request');
      expect(answer.body).toMatchObject({ errors: [{ path: expect.stringContaining(path) }] });
    }
    expect((await db.query('SELECT count(*) FROM run')).rows).toEqual(before.rows);
  });

  test('unknown fields of a definition are refused with the nearest known name, all at once', async ({ api, db }) => {
    const before = await db.query('SELECT count(*) FROM workflow');
    const answer = await api.post('/workflows', {
      name: 'typos',
      parametres: [],
      actions: [
        { ...echo('a'), depend_on: [] },
        { ...echo('b'), retry: { max_atempts: 2 } },
      ],
    });
    expect(answer.status).toBe(400);
    const errors = list(answer, 'errors');
    const at = (path: string) => errors.find((error) => error['path'] === path)?.['message'];
    expect(at('parametres')).toContain('parameters');
    expect(at('actions.0.depend_on')).toContain('depends_on');
    expect(at('actions.1.retry.max_atempts')).toContain('max_attempts');
    expect((await db.query('SELECT count(*) FROM workflow')).rows).toEqual(before.rows);
  });

  test('all faults of a request are named at once', async ({ api }) => {
    const answer = await api.post('/assign-task', {
      task_type: 7,
      priority: 500,
      delay_seconds: -1,
      callback_url: 'ftp://x',
      unknown: 1,
    });
    expectProblem(answer, 400, 'invalid_request');
    const paths = list(answer, 'errors').map((error) => error['path']);
    expect(paths).toEqual(
      expect.arrayContaining(['task_type', 'priority', 'delay_seconds', 'callback_url', 'unknown']),
    );
  });

  test('a config that does not fit its adapter is refused at once, with its place', async ({ api }) => {
    const answer = await api.post(
      '/workflows',
      workflow([{ action_id: 'h', action_type: 'http_request', config: { urll: 'http://x' } }]),
    );
    expect([400, 422]).toContain(answer.status);
    expect(answer.text).toContain('actions.0.config');
    expect(answer.text).toContain('urll');
  });

  test('an output over the limit fails that task clearly, and a smaller one is kept whole', async ({
    api,
    service,
  }) => {
    service.answer(({ path }) => ({ body: { text: 'x'.repeat(path === '/large' ? 1_200_000 : 900_000) } }));
    const run = await api.run(
      workflow([fetching('large', `${service.url}/large`), fetching('small', `${service.url}/small`)]),
    );
    expect(statuses(run)).toEqual({ large: 'failed', small: 'completed' });
    expect(taskOf(run, 'large')).toMatchObject({
      attempts: 1,
      output: null,
      error: { code: 'output_too_large', message: expect.stringContaining('1048576') },
    });
    expect(JSON.stringify(taskOf(run, 'small').output).length).toBeGreaterThan(900_000);
  });

  test('answers that cannot be stored as they are do no harm to the tasks beside them', async ({ api, service }) => {
    const nested = `${'['.repeat(5_000)}${']'.repeat(5_000)}`;
    const bodies: Record<string, string> = {
      nul: '{"text":"a\\u0000b"}',
      surrogate: '{"text":"\\ud800 alone"}',
      deep: `{"list":${nested}}`,
      huge: '{"number":1e400}',
      proto: '{"__proto__":{"x":1},"constructor":{"y":2}}',
      broken: '{"text":',
      key: '{"a\\u0000b":1}',
    };
    service.answer(({ path }) => ({ body: bodies[path.slice(1)] ?? '{"fine":true}' }));
    const odd = Object.keys(bodies);
    const beside = Array.from({ length: 30 }, (_, n) => `good${n}`);
    const run = await api.run(
      workflow([...odd, ...beside].map((id) => ({ ...fetching(id, `${service.url}/${id}`), on_failure: 'continue' }))),
    );
    expect(run.status).toBe('completed');
    for (const id of beside) expect(taskOf(run, id)).toMatchObject({ status: 'completed', attempts: 1 });
    for (const id of odd) {
      const task = taskOf(run, id);
      expect(['completed', 'failed'], `${id} is final`).toContain(task.status);
      // Either its content is there, made storable, or it says what was wrong.
      if (task.status === 'failed')
        expect(task.error, id).toMatchObject({ code: expect.any(String), message: expect.stringMatching(/.{10}/) });
      else expect(task.output, id).not.toBeNull();
    }
    expect(taskOf(run, 'nul').status).toBe('completed');
    expect(taskOf(run, 'surrogate').status).toBe('completed');
    expect(taskOf(run, 'deep').status).toBe('failed');
  });

  test('an error text that cannot be stored as it is fails only its own task', async ({ api, service }) => {
    service.answer(() => ({ status: 400, body: 'bad \u0000 news \ud800' }));
    const run = await api.run(workflow([fetching('bad', service.url), echo('good')]));
    expect(statuses(run)).toEqual({ bad: 'failed', good: 'completed' });
  });

  test('the metadata address of clouds and our own database are never called', async ({ api, stack }) => {
    const port = new URL(stack.databaseUrl).port;
    const urls = [
      'http://169.254.169.254/latest/meta-data',
      `http://127.0.0.1:${port}/`,
      'http://[::ffff:169.254.169.254]/',
      'file:///etc/passwd',
    ];
    const calls = urls.map((_, n) => ({ ...fetching(`a${n}`, `{{params.urls.${n}}}`), retry: QUICK_RETRY }));
    const run = await api.run(workflow(calls, { parameters: [{ name: 'urls', type: 'array' }] }), { urls });
    expect(run.status).toBe('failed');
    for (const n of [0, 1, 2])
      expect(taskOf(run, `a${n}`)).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'egress_denied' } });
    expect(taskOf(run, 'a3')).toMatchObject({ status: 'failed', attempts: 1 });
  });

  // The last one: the check after every test goes over all that there is.
  test('ten thousand actions are accepted and run, one more is refused', async ({ api, backend, stack }) => {
    const actions = Array.from({ length: 10_001 }, (_, n) => ({
      action_id: `a${n}`,
      action_type: 'test_task',
      config: {},
    }));
    const refused = await api.post('/workflows', { name: 'too many', actions });
    expect(refused.status).toBe(400);
    expect(refused.text).toMatch(/10.?000/);
    const id = await api.createWorkflow({ name: 'many', actions: actions.slice(0, 10_000) });
    const planned = await api.post(`/workflows/${id}/execute`, { dry_run: true });
    expect(planned).toMatchObject({ status: 200, body: { order: expect.objectContaining({ length: 10_000 }) } });
    // On the other queue the same takes a minute.
    if (backend !== 'redis') return;
    const run = await api.finished(await api.execute(id));
    expect(run).toMatchObject({ status: 'completed', progress: { completed: 10_000 } });
    // So many jobs take longer to add than a door waits on a busy machine; the dispatcher then sees to it.
    expect(stack.log.takeAlarms().filter(({ event }) => event !== 'runs_left_to_dispatcher')).toEqual([]);
  });
});
