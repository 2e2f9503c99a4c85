/** What clients of the older workflow platform send about workflows, with the whole answer and what it brings about. */
import { describe, expect } from 'vitest';
import { accepted, type Client, field, list } from '../harness/client/client.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

const ID = expect.stringMatching(/^[0-9a-f-]{36}$/);
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const MS = expect.any(Number);
const USER = 'user@example.com';
const asUser = { 'x-user-id': USER };
const stranger = { 'x-tenant-id': 'another' };

const DOCUMENT_ANALYSIS = {
  name: 'Document Analysis Workflow',
  description: 'Analyze documents for quality and insights',
  parameters: [{ name: 'document_url', type: 'string', description: 'URL of document to analyze', required: true }],
  actions: [
    {
      action_id: 'analyze',
      action_type: 'service_call',
      name: 'Analyze Document',
      config: {
        service: 'analysis_service',
        endpoint: '/analyze',
        method: 'POST',
        parameters: { url: '{{document_url}}' },
      },
    },
  ],
};
const HELLO_WORLD = {
  name: 'Hello World Workflow',
  description: 'A simple notification workflow',
  parameters: [{ name: 'message', type: 'string', description: 'Message to display', required: true }],
  actions: [
    {
      action_id: 'notify',
      action_type: 'notification',
      name: 'Send Notification',
      description: 'Send completion notification',
      config: { message: '{{message}}', channels: ['log'] },
    },
  ],
};
const FIRST_WORKFLOW = {
  name: 'Hello World',
  description: 'My first workflow',
  parameters: [{ name: 'message', type: 'string', required: true }],
  actions: [
    { action_id: 'greet', action_type: 'notification', name: 'Send Greeting', config: { message: '{{message}}' } },
  ],
};
const LONG_WAIT = {
  name: 'Waits',
  actions: [
    { action_id: 'first', action_type: 'test_task', config: {} },
    { action_id: 'long', action_type: 'wait', config: { seconds: 600 }, depends_on: ['first'] },
  ],
};

/** What a definition of the older platform is completed with. */
const completed = (action: object) => ({
  ...action,
  depends_on: [],
  run_if: 'all_succeeded',
  retry: {
    max_attempts: 4,
    backoff: 'exponential',
    initial_delay_seconds: 2,
    multiplier: 2,
    max_delay_seconds: 300,
    jitter: 0,
    non_retryable: [],
  },
  timeout_seconds: 300,
  on_failure: 'fail',
});
const NEVER_EXECUTED = {
  total_executions: 0,
  successful_executions: 0,
  failed_executions: 0,
  success_rate: null,
  average_execution_time: null,
  last_execution_at: null,
};
const onePage = (total: number, size = 50) => ({
  total,
  page: 1,
  page_size: size,
  pagination: {
    page: 1,
    page_size: size,
    total_items: total,
    total_pages: Math.ceil(total / size),
    has_next: false,
    has_previous: false,
  },
});
const problem = (status: number, code: string, detail: unknown, more: object = {}) => ({
  type: expect.any(String),
  title: expect.any(String),
  status,
  detail,
  instance: expect.any(String),
  code,
  trace_id: expect.any(String),
  message: detail,
  error_code: code,
  ...more,
});

const redis = onBothBackends({ workers: 0 })
  .filter(({ backend }) => backend === 'redis')
  .map(({ test }) => ({
    test: test.extend('analysis', { scope: 'file' }, async ({ stack }, { onCleanup }) => {
      const service = await startService();
      onCleanup(() => service.close());
      await stack.add('worker', { SERVICES: JSON.stringify({ analysis_service: service.url }) });
      return service;
    }),
  }));

async function executed(api: Client, id: string, parameters: object, headers = {}): Promise<string> {
  const run = await api.execute(id, { parameters }, headers);
  await api.ended(run);
  return run;
}

describe.each(redis)('a client of the older workflow platform', ({ test }) => {
  test('creates a workflow, reads it, changes it and deletes it', async ({ api, db }) => {
    const created = await api.post('/workflows', DOCUMENT_ANALYSIS, asUser);
    const whole = {
      workflow_id: ID,
      name: 'Document Analysis Workflow',
      description: 'Analyze documents for quality and insights',
      version: 1,
      current_version: 1,
      status: 'active',
      tags: [],
      parameters: DOCUMENT_ANALYSIS.parameters,
      actions: DOCUMENT_ANALYSIS.actions.map(completed),
      created_by: USER,
      created_at: TIME,
      updated_at: TIME,
    };
    expect(created).toMatchObject({ status: 201, body: {} });
    expect(created.body).toEqual(whole);
    const id = field(created, 'workflow_id');
    expect(created.headers.get('location')).toBe(`/workflows/${id}`);
    const read = await api.get(`/workflows/${id}`, asUser);
    expect(read).toMatchObject({ status: 200 });
    expect(read.body).toEqual({ ...whole, execution_statistics: NEVER_EXECUTED });

    const changed = await api.put(`/workflows/${id}`, { description: 'Updated description', tags: ['updated', 'v2'] });
    expect(changed.status).toBe(200);
    const updated = {
      ...whole,
      description: 'Updated description',
      tags: ['updated', 'v2'],
      version: 2,
      current_version: 2,
    };
    expect(changed.body).toEqual(updated);
    expect((await api.get(`/workflows/${id}?version=1`)).body).toEqual({
      ...whole,
      current_version: 2,
      execution_statistics: NEVER_EXECUTED,
    });
    // What was read can be sent back.
    expect((await api.put(`/workflows/${id}`, (await api.get(`/workflows/${id}`)).body)).status).toBe(200);

    for (const [method, body] of [['GET'], ['PUT', { name: 'mine' }], ['DELETE']] as const) {
      const answer = await api.send(method, `/workflows/${id}`, body, stranger);
      expect(answer.body).toEqual(problem(404, 'not_found', 'Workflow not found'));
    }
    expect(await api.send('DELETE', `/workflows/${id}`, undefined, asUser)).toMatchObject({ status: 204, text: '' });
    expect((await api.get(`/workflows/${id}`)).body).toEqual(problem(404, 'not_found', 'Workflow not found'));
    const { rows } = await db.query('SELECT deleted_at IS NOT NULL AS gone FROM workflow WHERE id = $1', [id]);
    expect(rows).toEqual([{ gone: true }]);
    const kept = await db.query('SELECT count(*)::int AS n FROM workflow_version WHERE workflow_id = $1', [id]);
    expect(kept.rows).toEqual([{ n: 3 }]);
  });

  test('executes it with an undeclared parameter, and sees how it went', async ({ api, analysis }) => {
    analysis.answer(() => ({ body: { score: 0.9 } }));
    const id = field(await api.post('/workflows', DOCUMENT_ANALYSIS, asUser), 'workflow_id');
    const parameters = { document_url: 'https://example.com/doc.pdf', analysis_type: 'comprehensive' };
    const started = await api.post(
      `/workflows/${id}/execute`,
      { parameters },
      { ...asUser, 'x-correlation-id': 'c-1' },
    );
    expect(started.status).toBe(202);
    const run = field(started, 'execution_id');
    expect(started.body).toEqual({
      execution_id: ID,
      workflow_id: id,
      workflow_version: 1,
      status: 'pending',
      created_at: TIME,
      links: {
        self: `/workflows/executions/${run}`,
        workflow: `/workflows/${id}`,
        cancel: `/workflows/executions/${run}/cancel`,
        events: `/workflows/executions/${run}/events`,
        result: `/result/${run}`,
      },
      warnings: ["Parameter 'analysis_type' is not declared by the workflow"],
    });
    await api.ended(run);
    const calls = analysis.calls.filter(({ headers }) => headers['x-correlation-id'] === 'c-1');
    expect(calls).toMatchObject([{ method: 'POST', path: '/analyze', body: { url: 'https://example.com/doc.pdf' } }]);

    const head = {
      execution_id: run,
      workflow_id: id,
      workflow_version: 1,
      status: 'completed',
      error: null,
      priority: 50,
      trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      correlation_id: 'c-1',
      tenant_id: 'default',
      user_id: USER,
      parent: null,
      created_at: TIME,
      deadline_at: null,
      started_at: TIME,
      finished_at: TIME,
      duration_ms: MS,
    };
    const output = { status: 200, headers: expect.any(Object), response: { score: 0.9 } };
    expect((await api.get(`/workflows/executions/${run}`)).body).toEqual({
      ...head,
      parameters,
      output: { analyze: output },
      progress: {
        ...{ total: 1, completed: 1, failed: 0, skipped: 0, running: 0, pending: 0, percent: 100 },
        ...{ total_actions: 1, completed_actions: 1, percentage: 100, current_action: null },
      },
      cancel_reason: null,
      tasks: [
        {
          action_id: 'analyze',
          action_type: 'service_call',
          status: 'completed',
          attempts: 1,
          attempts_history: [
            {
              attempt: 1,
              epoch: 1,
              status: 'completed',
              error: null,
              worker: expect.any(String),
              started_at: TIME,
              finished_at: TIME,
              duration_ms: MS,
            },
          ],
          input: { ...DOCUMENT_ANALYSIS.actions[0]?.config, parameters: { url: 'https://example.com/doc.pdf' } },
          output,
          error: null,
          progress: null,
          queued_at: TIME,
          started_at: TIME,
          finished_at: TIME,
          duration_ms: MS,
          worker: expect.any(String),
        },
      ],
    });
    const listed = await api.get(`/workflows/${id}/executions?limit=100`);
    expect(listed.status).toBe(200);
    expect(listed.body).toEqual({ items: [head], executions: [head], ...onePage(1, 100), next_cursor: null });
    expect((await api.get(`/workflows/${id}`)).body).toMatchObject({
      execution_statistics: {
        total_executions: 1,
        successful_executions: 1,
        failed_executions: 0,
        success_rate: 1,
        average_execution_time: MS,
        last_execution_at: TIME,
      },
    });

    const missing = await api.post(`/workflows/${id}/execute`, { parameters: { document_url: 7 } });
    const detail = 'Parameter validation failed: document_url must be a string, not 7';
    const errors = [{ path: 'parameters.document_url', message: 'must be a string, not 7' }];
    expect(missing.status).toBe(400);
    expect(missing.body).toEqual(problem(400, 'parameter_validation_failed', detail, { errors }));
    for (const path of [`/workflows/executions/${run}`, `/workflows/${id}/executions`])
      expect((await api.get(path, stranger)).status).toBe(404);
    expect((await api.post(`/workflows/${id}/execute`, { parameters }, stranger)).body).toEqual(
      problem(404, 'not_found', 'Workflow not found'),
    );
    expect((await api.get('/workflows/executions/unknown')).body).toEqual(
      problem(404, 'not_found', 'Execution not found'),
    );
  });

  test('lists its active workflows, with counts, and filters them', async ({ api, analysis: _ }) => {
    const own = { 'x-user-id': 'lister@example.com' };
    const first = field(
      await api.post('/workflows', { ...HELLO_WORLD, name: 'Listed One', tags: ['a', 'b'] }, own),
      'workflow_id',
    );
    const second = field(await api.post('/workflows', { ...FIRST_WORKFLOW, name: 'Listed Two' }, own), 'workflow_id');
    await executed(api, first, { message: 'one' });
    const summary = (workflow_id: string, name: string, more: object) => ({
      workflow_id,
      name,
      version: 1,
      status: 'active',
      parameters_count: 1,
      actions_count: 1,
      created_by: 'lister@example.com',
      created_at: TIME,
      updated_at: TIME,
      ...more,
    });
    const one = summary(first, 'Listed One', {
      description: HELLO_WORLD.description,
      tags: ['a', 'b'],
      total_executions: 1,
    });
    const two = summary(second, 'Listed Two', {
      description: FIRST_WORKFLOW.description,
      tags: [],
      total_executions: 0,
    });
    const query = 'page=1&page_size=50&status=active&created_by=lister@example.com';
    const listed = await api.get(`/workflows?${query}`);
    expect(listed.status).toBe(200);
    expect(listed.body).toEqual({ items: [two, one], workflows: [two, one], ...onePage(2) });
    for (const filter of ['name_contains=LISTED ONE', 'name=listed one', 'tags=a', 'tags=b,a', 'tags=a&tags=b'])
      expect((await api.get(`/workflows?${query}&${filter}`)).body).toMatchObject({ items: [one], total: 1 });
    for (const filter of ['name_contains=three', 'tags=a,c', 'status=archived'])
      expect((await api.get(`/workflows?created_by=lister@example.com&${filter}`)).body).toEqual({
        items: [],
        workflows: [],
        ...onePage(0),
      });
    expect((await api.get(`/workflows?${query}`, stranger)).body).toMatchObject({ total: 0, items: [] });
    expectProblem(await api.get('/workflows?status=draft'), 400, 'invalid_request');
  });

  test('watches the progress of an execution, and cancels it without a body', async ({ api, analysis: _ }) => {
    const run = await api.execute(await api.createWorkflow(LONG_WAIT));
    const progress = {
      ...{ total: 2, completed: 1, failed: 0, skipped: 0, running: 1, pending: 0, percent: 50 },
      ...{ total_actions: 2, completed_actions: 1, percentage: 50, current_action: 'long' },
    };
    await until(async () => (await api.execution(run)).status === 'waiting', { what: 'it waits' });
    expect(await api.execution(run)).toMatchObject({ status: 'waiting', progress, finished_at: null });
    expect((await api.post(`/workflows/executions/${run}/cancel`, undefined, stranger)).body).toEqual(
      problem(404, 'not_found', 'Execution not found'),
    );
    const cancelled = await api.post(`/workflows/executions/${run}/cancel`);
    expect(cancelled.status).toBe(202);
    expect(cancelled.body).toEqual({
      execution_id: run,
      status: expect.stringMatching(/^cancell(ing|ed)$/),
      message: 'Cancellation requested',
    });
    expect(await api.finished(run)).toMatchObject({
      status: 'cancelled',
      tasks: [{ status: 'completed' }, { status: 'cancelled' }],
      progress: { total: 2, completed: 1, failed: 0, skipped: 1, running: 0, pending: 0, percent: 100 },
    });
    expectProblem(await api.post(`/workflows/executions/${run}/cancel`), 409, 'already_final');
  });

  test('says hello in both forms, with channels and without', async ({ api, stack, analysis: _ }) => {
    for (const [definition, message] of [
      [HELLO_WORLD, 'Hello, World!'],
      [FIRST_WORKFLOW, 'Hello, Orchestrator!'],
    ] as const) {
      const created = accepted(await api.post('/workflows', definition, asUser), 201);
      const run = await executed(api, field(created, 'workflow_id'), { message }, asUser);
      expect(await api.execution(run)).toMatchObject({
        status: 'completed',
        user_id: USER,
        output: { [definition.actions[0]?.action_id ?? '']: { delivered: [{ channel: 'log' }] } },
      });
      expect(stack.log.lines.filter((line) => JSON.stringify(line).includes(message))).toHaveLength(1);
    }
  });

  test('uses the older spellings of parameters and actions', async ({ api, analysis: _ }) => {
    const created = accepted(
      await api.post('/workflows', {
        name: 'Older Spellings',
        parameters: [
          { name: 'ratio', type: 'float', default_value: 0.5 },
          { name: 'kind', type: 'string', allowed_values: ['a', 'b'] },
          { name: 'code', type: 'string', validation_rules: { min_length: 2, max_length: 4, pattern: '^x' } },
        ],
        actions: [
          { name: 'First Step', action_type: 'test_task', config: { ratio: '{{ratio}}' }, timeout_seconds: 30 },
          {
            name: 'Breaks',
            action_type: 'test_task',
            config: { fail_with: 'broken' },
            retry_count: 1,
            retry_delay: 0,
            continue_on_error: true,
          },
          {
            name: 'Last',
            action_type: 'test_task',
            config: { got: '{{first_step.ratio}}' },
            depends_on: ['first_step', 'breaks'],
            condition: "{{kind}} == 'a'",
          },
        ],
      }),
      201,
    );
    const { parameters, actions } = created.body as { parameters: unknown; actions: unknown[] }; // A workflow.
    expect(parameters).toEqual([
      { name: 'ratio', type: 'number', required: false, default: 0.5 },
      { name: 'kind', type: 'string', required: true, enum: ['a', 'b'] },
      { name: 'code', type: 'string', required: true, min_length: 2, max_length: 4, pattern: '^x' },
    ]);
    expect(actions).toMatchObject([
      { action_id: 'first_step', timeout_seconds: 30 },
      {
        action_id: 'breaks',
        retry: { max_attempts: 2, initial_delay_seconds: 0, backoff: 'fixed' },
        on_failure: 'continue',
      },
      { action_id: 'last', when: expect.stringContaining('kind') },
    ]);
    const id = field(created, 'workflow_id');
    const run = await executed(api, id, { kind: 'a', code: 'xy' });
    expect(await api.execution(run)).toMatchObject({
      status: 'completed',
      output: { last: { got: 0.5 } },
      tasks: [{ status: 'completed' }, { status: 'failed', attempts: 2 }, { status: 'completed' }],
    });
    const other = await api.execution(await executed(api, id, { kind: 'b', code: 'xy' }));
    expect(other.tasks.at(-1)).toMatchObject({ action_id: 'last', status: 'skipped' });
    const refused = await api.post(`/workflows/${id}/execute`, { parameters: { kind: 'c', code: 'y' } });
    expect(refused.body).toEqual(
      problem(
        400,
        'parameter_validation_failed',
        expect.stringMatching(/^Parameter validation failed: kind .*; code /),
        {
          errors: [
            { path: 'parameters.kind', message: 'must be one of "a", "b", not "c"' },
            { path: 'parameters.code', message: 'must have at least 2 characters, not 1' },
            { path: 'parameters.code', message: 'must match the pattern ^x, not "y"' },
          ],
        },
      ),
    );
  });

  test('never finds a workflow under a word that means something else', async ({ api, analysis: _ }) => {
    const words = ['search', 'statistics', 'health', 'templates', 'history', 'executions', 'run', 'activity'];
    for (const word of words) {
      for (const [method, path] of [
        ['POST', `/workflows/${word}/execute`],
        ['GET', `/workflows/${word}/versions`],
      ] as const) {
        const answer = await api.send(method, path, method === 'POST' ? {} : undefined);
        // Where the last word is the name of a template or the id of an execution, the method is what is wrong.
        const status = method === 'POST' && ['templates', 'executions'].includes(word) ? 405 : 404;
        expect({ path, status: answer.status }).toEqual({ path, status });
      }
      const read = await api.get(`/workflows/${word}`);
      expect(read.body, word).not.toHaveProperty('workflow_id');
      const isPage = !['executions', 'run'].includes(word);
      if (isPage && word !== 'search') expect({ word, status: read.status }).toEqual({ word, status: 200 });
    }
  });

  test('searches its workflows by words', async ({ api, analysis: _ }) => {
    const own = { 'x-tenant-id': 'searcher', 'x-user-id': USER };
    const id = field(await api.post('/workflows', DOCUMENT_ANALYSIS, own), 'workflow_id');
    await api.post('/workflows', FIRST_WORKFLOW, own);
    const found = await api.get('/workflows/search?q=document&limit=50', own);
    const item = {
      workflow_id: id,
      name: DOCUMENT_ANALYSIS.name,
      description: DOCUMENT_ANALYSIS.description,
      version: 1,
      status: 'active',
      tags: [],
      parameters_count: 1,
      actions_count: 1,
      total_executions: 0,
      created_by: USER,
      created_at: TIME,
      updated_at: TIME,
      rank: expect.any(Number),
    };
    expect(found.status).toBe(200);
    expect(found.body).toEqual({ items: [item], workflows: [item], match: 'words', ...onePage(1) });
    expect((await api.get('/workflows/search?query=analy%20docu', own)).body).toMatchObject({
      items: [item],
      total: 1,
    });
    expect((await api.get('/workflows/search?q=documnet%20anlysis', own)).body).toMatchObject({
      items: [item],
      match: 'similar',
    });
    expect((await api.get('/workflows/search?q=document', { 'x-tenant-id': 'nobody' })).body).toEqual({
      items: [],
      workflows: [],
      match: 'words',
      ...onePage(0),
    });
    for (const [query, message] of [
      ['', 'is required'],
      ['?q=', 'must have a letter or a digit'],
      ['?q=%2A%26%21', 'must have a letter or a digit'],
      [`?q=${'x'.repeat(201)}`, 'must have at most 200 characters'],
      [`?q=${Array.from({ length: 21 }, (_, n) => n).join('+')}`, 'must have at most 20 words'],
    ] as const) {
      const refused = await api.get(`/workflows/search${query}`, own);
      expect(refused.status).toBe(400);
      expect(refused.body).toEqual(
        problem(400, 'invalid_request', `q ${message}`, { errors: [{ path: 'q', message }] }),
      );
    }
  });

  test('reads statistics of a window, each number from what there is', async ({ api, db, analysis: _ }) => {
    const own = { 'x-tenant-id': 'statistician' };
    const good = field(await api.post('/workflows', { ...FIRST_WORKFLOW, tags: ['x', 'y'] }, own), 'workflow_id');
    const failing = { action_id: 'fails', action_type: 'test_task', config: { fail_with: 'no' } };
    const retry = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0 };
    const bad = field(
      await api.post('/workflows', { name: 'Fails', tags: ['x'], actions: [{ ...failing, retry }] }, own),
      'workflow_id',
    );
    const unused = field(await api.post('/workflows', FIRST_WORKFLOW, own), 'workflow_id');
    await api.put(`/workflows/${unused}`, { status: 'paused' }, own);
    const runs: string[] = [];
    for (let n = 0; n < 3; n += 1) runs.push(await api.execute(good, { parameters: { message: `${n}` } }, own));
    const failed = await api.execute(bad, {}, own);
    const ended = async (ids: string[]) =>
      (await db.query('SELECT 1 FROM run WHERE id = ANY($1) AND final', [ids])).rowCount === ids.length;
    await until(() => ended([...runs, failed]), { what: 'all have ended' });
    // Known durations: 1, 2 and 3 seconds, of which the percentiles are known too; one is too old for a day.
    await db.query(`UPDATE run SET finished_at = started_at + interval '4 seconds' WHERE id = $1`, [failed]);
    for (const [index, run] of runs.entries()) {
      const seconds = index + 1;
      await db.query(`UPDATE run SET finished_at = started_at + make_interval(secs => $2) WHERE id = $1`, [
        run,
        seconds,
      ]);
      await db.query(`UPDATE task SET finished_at = started_at + make_interval(secs => $2) WHERE run_id = $1`, [
        run,
        seconds,
      ]);
    }
    await db.query(`UPDATE task SET finished_at = started_at + interval '4 seconds' WHERE run_id = $1`, [failed]);
    await db.query(`UPDATE run SET created_at = created_at - interval '25 hours' WHERE id = $1`, [runs[0]]);

    const durations = (...ms: number[]) => {
      const at = (part: number) => {
        const place = part * (ms.length - 1);
        const below = ms[Math.floor(place)] ?? 0;
        return Math.round((below + ((ms[Math.ceil(place)] ?? 0) - below) * (place % 1)) * 10) / 10;
      };
      const average = Math.round((ms.reduce((sum, one) => sum + one, 0) / ms.length) * 10) / 10;
      return { count: ms.length, average, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: ms.at(-1) };
    };
    const use = (workflow_id: string, name: string, ok: number, notOk: number, duration_ms: object) => ({
      workflow_id,
      name,
      executions: ok + notOk,
      successful_executions: ok,
      failed_executions: notOk,
      success_rate: ok / (ok + notOk),
      duration_ms,
    });
    const typeUse = (action_type: string, ok: number, notOk: number, retried: number, duration_ms: object) => ({
      action_type,
      tasks: ok + notOk,
      completed: ok,
      failed: notOk,
      retried,
      success_rate: ok / (ok + notOk),
      retry_rate: retried / (ok + notOk),
      duration_ms,
    });
    const day = await api.get('/workflows/statistics', own);
    expect(day.status).toBe(200);
    expect(day.body).toEqual({
      window: { seconds: 86_400, from: TIME, to: TIME },
      total_workflows: 3,
      active_workflows: 2,
      total_executions: 3,
      successful_executions: 2,
      failed_executions: 1,
      average_execution_time: 3,
      success_rate: 0.6667,
      retry_rate: 0.3333,
      executions_by_status: { completed: 2, failed: 1 },
      execution_duration_ms: durations(2000, 3000, 4000),
      task_duration_ms: durations(2000, 3000, 4000),
      by_workflow: [use(good, 'Hello World', 2, 0, durations(2000, 3000)), use(bad, 'Fails', 0, 1, durations(4000))],
      by_action_type: [
        typeUse('notification', 2, 0, 0, durations(2000, 3000)),
        typeUse('test_task', 0, 1, 1, durations(4000)),
      ],
      popular_tags: [
        { tag: 'x', count: 2 },
        { tag: 'y', count: 1 },
      ],
      truncated: false,
      summary: {
        workflows: 3,
        executions: 3,
        success_rate: 0.6667,
        most_active_workflows: [
          { workflow_id: good, name: 'Hello World', executions: 2 },
          { workflow_id: bad, name: 'Fails', executions: 1 },
        ],
      },
      generated_at: TIME,
    });
    expect((await api.get('/workflows/statistics?window=2d', own)).body).toMatchObject({
      window: { seconds: 172_800 },
      total_executions: 4,
      execution_duration_ms: durations(1000, 2000, 3000, 4000),
    });
    expect((await api.get('/workflows/statistics', { 'x-tenant-id': 'idle' })).body).toMatchObject({
      total_workflows: 0,
      total_executions: 0,
      success_rate: null,
      execution_duration_ms: { count: 0, p50: null },
      by_workflow: [],
    });
    for (const window of ['91d', '0h', '24', '', 'day', '1.5h', '99999999s'])
      expectProblem(await api.get(`/workflows/statistics?window=${window}`, own), 400, 'invalid_request');
  });

  test('reads the history with the steps of each execution, page by page', async ({ api, analysis: _ }) => {
    const own = { 'x-tenant-id': 'historian', 'x-user-id': USER };
    const definition = {
      name: 'Steps',
      tags: ['nightly'],
      actions: [
        { action_id: 'one', action_type: 'test_task', metadata: { op: 'ingest', source: 'github' } },
        { action_id: 'two', action_type: 'test_task', depends_on: ['one'], when: 'false' },
      ],
    };
    const id = field(await api.post('/workflows', definition, own), 'workflow_id');
    const other = field(await api.post('/workflows', FIRST_WORKFLOW, own), 'workflow_id');
    const runs: string[] = [];
    for (let n = 0; n < 3; n += 1) runs.push(await api.execute(id, { correlation_id: `run-${n}` }, own));
    const hello = await api.execute(other, { parameters: { message: 'x' } }, { ...own, 'x-user-id': 'somebody' });
    await api.post('/assign-task', { task_type: 'test_task' }, own);
    await until(async () => list(await api.get('/executions', own)).every(({ status }) => status === 'completed'));
    const item = (n: number) => ({
      correlation_id: `run-${n}`,
      execution_id: runs[n],
      workflow_id: id,
      workflow_version: 1,
      status: 'completed',
      start_time: TIME,
      end_time: TIME,
      steps: [
        { action_id: 'one', op: 'ingest', source: 'github', status: 'completed', start_time: TIME, end_time: TIME },
        { action_id: 'two', op: 'test_task', status: 'skipped', start_time: null, end_time: TIME },
      ],
      steps_total: 2,
    });
    const all = await api.get('/workflows/history', own);
    expect(all.status).toBe(200);
    expect(list(all).map(({ execution_id }) => execution_id)).toEqual([hello, runs[2], runs[1], runs[0]]);
    expect(all.body).toMatchObject({ total: 4, next_cursor: null });

    const page = await api.get(`/workflows/history?limit=2&workflow_id=${id}`, own);
    const { next_cursor: cursor } = page.body as { next_cursor: string }; // There is a next page.
    expect(page.body).toEqual({ items: [item(2), item(1)], total: 3, next_cursor: expect.any(String) });
    const rest = await api.get(`/workflows/history?limit=2&workflow_id=${id}&cursor=${cursor}`, own);
    expect(rest.body).toEqual({ items: [item(0)], total: 3, next_cursor: null });

    const ids = async (filter: string) =>
      list(await api.get(`/workflows/history?${filter}`, own)).map(({ execution_id }) => execution_id);
    expect(await ids('correlation_id=run-1')).toEqual([runs[1]]);
    expect(await ids('tag=nightly')).toEqual([runs[2], runs[1], runs[0]]);
    expect(await ids('created_by=somebody')).toEqual([hello]);
    expect(await ids('status=failed')).toEqual([]);
    expect(await ids('from=2000-01-01&to=2001-01-01')).toEqual([]);
    expect((await api.get('/workflows/history', { 'x-tenant-id': 'nobody' })).body).toEqual({
      items: [],
      total: 0,
      next_cursor: null,
    });
    for (const query of ['limit=0', 'limit=201', 'cursor=x', 'status=done', 'from=yesterday'])
      expectProblem(await api.get(`/workflows/history?${query}`, own), 400, 'invalid_request');
  });

  test('reads who did what, page by page without a gap or a double', async ({ api, analysis: _ }) => {
    const own = { 'x-tenant-id': 'watcher', 'x-user-id': 'anna' };
    const ben = { ...own, 'x-user-id': 'ben' };
    const id = field(await api.post('/workflows', FIRST_WORKFLOW, own), 'workflow_id');
    const run = await api.execute(id, { parameters: { message: 'x' }, correlation_id: 'c-9' }, ben);
    await until(async () => list(await api.get('/executions', own)).every(({ status }) => status === 'completed'));
    await api.put(`/workflows/${id}`, { tags: ['t'] }, ben);
    await api.post(`/workflows/${id}/pause`, { reason: 'tidy up' }, own);
    await api.post(`/workflows/${id}/resume`, {}, own);
    await api.send('DELETE', `/workflows/${id}`, undefined, own);
    const entry = (type: string, user_id: string, details: object) => ({
      id: expect.any(String),
      type,
      timestamp: TIME,
      user_id,
      details,
    });
    const entries = [
      entry('workflow.deleted', 'anna', { workflow_id: id, name: 'Hello World' }),
      entry('workflow.resumed', 'anna', { workflow_id: id, runs: 'keep' }),
      entry('workflow.paused', 'anna', { workflow_id: id, reason: 'tidy up', runs: 'keep' }),
      entry('workflow.updated', 'ben', { workflow_id: id, version: 2 }),
      entry('execution.started', 'ben', {
        execution_id: run,
        workflow_id: id,
        workflow_version: 1,
        workflow_name: 'Hello World',
        status: 'completed',
        correlation_id: 'c-9',
        finished_at: TIME,
      }),
      entry('workflow.created', 'anna', { workflow_id: id, version: 1 }),
    ];
    const all = await api.get('/workflows/activity', own);
    expect(all.status).toBe(200);
    expect(all.body).toEqual({ activities: entries, next_cursor: null });

    const seen: unknown[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page = await api.get(`/workflows/activity?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`, own);
      seen.push(...list(page, 'activities').map((one) => one['id']));
      cursor = (page.body as { next_cursor: string | null }).next_cursor; // Every page has it.
    }
    expect(seen).toEqual(list(all, 'activities').map((one) => one['id']));
    expect((await api.get('/workflows/activity?user_id=ben', own)).body).toEqual({
      activities: [entries[3], entries[4]],
      next_cursor: null,
    });
    expect((await api.get('/workflows/activity', { 'x-tenant-id': 'nobody' })).body).toEqual({
      activities: [],
      next_cursor: null,
    });
    // Who only wants to know of pauses is not told of the rest.
    expect(list(await api.get('/control-events', own)).map(({ kind }) => kind)).toEqual([
      'workflow.resumed',
      'workflow.paused',
    ]);
    expectProblem(await api.get('/workflows/activity?cursor=x', own), 400, 'invalid_request');
  });

  test('asks for the health of the engine', async ({ api, analysis: _ }) => {
    // What a worker says of its tasks is some seconds old.
    const isAtRest = ({ text }: { text: string }) =>
      text.includes('"status":"healthy"') && text.includes('"active_tasks":0');
    const body = await until(
      async () => {
        const answer = await api.get('/workflows/health');
        return isAtRest(answer) && answer.body;
      },
      { what: 'it is healthy, and its worker at rest' },
    );
    expect(body).toEqual({
      status: 'healthy',
      service: 'workflow_management',
      timestamp: TIME,
      database_connected: true,
      queue_connected: true,
      active_executions: 0,
      queued_executions: 0,
      stuck_executions: 0,
      lanes: expect.arrayContaining([
        {
          lane: 'service_call',
          depth: 0,
          active: 0,
          delayed: 0,
          blocked: 0,
          oldest_waiting_seconds: null,
          workers: 1,
        },
      ]),
      workers: [
        {
          worker: expect.any(String),
          alive: true,
          version: expect.any(String),
          lanes: expect.arrayContaining(['service_call', 'notification']),
          active_tasks: 0,
          event_loop_lag_ms: MS,
          started_at: TIME,
          seen_at: TIME,
        },
      ],
      sweep: expect.objectContaining({ last_pass_at: TIME }),
      circuits: [],
      problems: [],
    });
  });
});
