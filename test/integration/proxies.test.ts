/** The doors to other services: whole answers, what the services are sent, and what they do to the answer. */
import { createHash } from 'node:crypto';
import { describe, expect } from 'vitest';
import { type Answer, accepted, type Client, statuses } from '../harness/client/client.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { NOBODY, register } from '../support/registered.ts';

const [, onPostgres] = onBothBackends();
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const OTHER = { 'X-Tenant-ID': 'other' };

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const told = ({ status, body }: Answer) => ({ status, body });
const called = ({ calls }: Service) => calls.map(({ method, path, body }) => [`${method} ${path}`, body]);
const runOf = (answer: Answer) => answer.headers.get('x-execution-id') ?? '';

/** Every door with a request that it takes, and the service that does it. */
const DOORS = [
  { door: '/jobs/notify-consolidation', body: {}, service: 'reporting' },
  { door: '/docstore/save', body: { content: 'x' }, service: 'doc_store' },
  { door: '/report/request', body: { kind: 'generate' }, service: 'reporting' },
  { door: '/summarization/suggest', body: { content: 'x' }, service: 'secure_analyzer' },
  { door: '/demo/e2e', body: {}, service: 'reporting' },
] as const;
const SERVICES = ['reporting', 'doc_store', 'secure_analyzer'];
const DEMO = {
  summary: { total: 3, by_severity: { low: 2, med: 1 } },
  log_analysis: {
    overview: { count: 12, by_level: { info: 9, warn: 2, error: 1 } },
    sample: [{ service: 'orchestrator', level: 'info', message: 'workflow run requested' }],
  },
};
const registerAll = (api: Client, url: string) =>
  register(api, Object.fromEntries(SERVICES.map((name) => [name, url])));

describe.each([onPostgres].filter((one) => one !== undefined))('doors to services on $backend', ({ test }) => {
  test('without a document store documents are kept here, for their tenant alone, and one with the same id is replaced', async ({
    api,
    db,
  }) => {
    const metadata = { owner: 'ann', tags: ['a'] };
    const headers = { 'Idempotency-Key': 'save-1' };
    const saved = await api.post('/docstore/save', { id: 'doc/7', content: 'Grüße', metadata }, headers);
    const body = { id: 'doc/7', content_hash: sha256('Grüße'), created_at: ISO };
    expect(told(saved)).toEqual({ status: 200, body });
    const again = await api.post('/docstore/save', { id: 'doc/7', content: 'Grüße', metadata }, headers);
    expect([again.body, runOf(again)]).toEqual([saved.body, runOf(saved)]);
    expect(told(await api.get('/docstore/documents/doc%2F7'))).toEqual({
      status: 200,
      body: { ...(saved.body as object), content: 'Grüße', metadata, updated_at: ISO },
    });
    expectProblem(await api.get('/docstore/documents/doc%2F7', OTHER), 404, 'not_found');

    const replaced = await api.post('/docstore/save', { id: 'doc/7', content: 'New', content_hash: sha256('New') });
    expect(replaced.body).toEqual({ ...(saved.body as object), content_hash: sha256('New') });
    const nameless = await api.post('/docstore/save', { content: 'New' });
    expect(nameless.body).toMatchObject({ content_hash: sha256('New') });
    const { rows } = await db.query('SELECT id, content, metadata, run_id FROM document ORDER BY content, id DESC');
    expect(rows).toEqual([
      { id: 'doc/7', content: 'New', metadata: null, run_id: runOf(replaced) },
      { id: (nameless.body as { id: string }).id, content: 'New', metadata: null, run_id: runOf(nameless) },
    ]);
    const run = await api.execution(runOf(saved));
    expect(statuses(run)).toEqual({ store: 'completed', remote: 'skipped', own: 'completed', result: 'completed' });
  });

  test('documents that are too large or not what they claim to be are refused, and nothing is begun', async ({
    api,
    db,
  }) => {
    const count = async () => (await db.query<{ n: number }>('SELECT count(*)::int AS n FROM run')).rows[0]?.n;
    const before = await count();
    expectProblem(await api.post('/docstore/save', { content: 'x'.repeat(1_048_577) }), 413, 'payload_too_large');
    const lies = await api.post('/docstore/save', { content: 'x', content_hash: sha256('y') });
    expectProblem(lies, 400, 'invalid_request');
    expect(lies.body).toMatchObject({
      errors: [{ path: 'content_hash', message: `is not the SHA-256 of the content, which is ${sha256('x')}` }],
    });
    const bad = await api.post('/docstore/save', { id: '', text: 'x', metadata: [] });
    expectProblem(bad, 400, 'invalid_request');
    const { errors } = bad.body as { errors: Array<{ path: string }> };
    expect(errors.map(({ path }) => path).sort()).toEqual(['content', 'id', 'metadata', 'text']);
    for (const [door, body] of [
      ['/report/request', { kind: 'other' }],
      ['/summarization/suggest', { content: '' }],
      ['/demo/e2e', { log_limit: 0 }],
      ['/jobs/notify-consolidation', { min_confidence: 2 }],
    ] as const)
      expectProblem(await api.post(door, body), 400, 'invalid_request');
    expect(await count()).toBe(before);

    const large = 'ä'.repeat(500_000);
    expect((await api.post('/docstore/save', { content: large })).body).toMatchObject({ content_hash: sha256(large) });
  });

  test('a document store gets what was sent, with its hash, and its answer is the answer', async ({ api, service }) => {
    await register(api, { doc_store: service.url });
    const created_at = '2031-02-03T04:05:06.000Z';
    service.answer(() => ({ status: 201, body: { data: { id: 'theirs', content_hash: 'abc', created_at, more: 1 } } }));
    const sent = { id: 'mine', content: 'text', metadata: { a: 1 } };
    const headers = { 'X-Correlation-ID': 'c-1' };
    expect(told(await api.post('/docstore/save', sent, headers))).toEqual({
      status: 200,
      body: { id: 'theirs', content_hash: 'abc', created_at },
    });
    expect(called(service)).toEqual([['POST /documents', { ...sent, content_hash: sha256('text') }]]);
    expect(service.calls[0]?.headers).toMatchObject({
      'x-correlation-id': 'c-1',
      'idempotency-key': expect.stringMatching(/remote$/),
    });
    service.answer(() => ({ body: { id: 9 } }));
    expect((await api.post('/docstore/save', { content: 'text' })).body).toEqual({
      id: '9',
      content_hash: sha256('text'),
      created_at: ISO,
    });
    // What the first tenant has registered is not the second one's.
    await api.post('/docstore/save', { id: 'own', content: 'text' }, OTHER);
    expect(service.calls).toHaveLength(2);
    accepted(await api.get('/docstore/documents/own', OTHER), 200);
  });

  test('each kind of report has its path, and the answer of the report service is handed on', async ({
    api,
    service,
  }) => {
    await register(api, { reporting: service.url });
    service.answer(({ path }) => ({ body: path.endsWith('generate') ? [path] : { report: path, null: null } }));
    const ask = async (body: object) => (await api.post('/report/request', body)).body;
    expect([
      await ask({ kind: 'generate' }),
      await ask({ kind: 'life_of_ticket', format: 'html', payload: { ticket: 'AB-1' } }),
      await ask({ kind: 'pr_confidence', payload: { pr: 7 } }),
    ]).toEqual([
      ['/reports/generate'],
      { report: '/reports/life-of-ticket', null: null },
      { report: '/reports/pr_confidence', null: null },
    ]);
    expect(called(service)).toEqual([
      ['POST /reports/generate', {}],
      ['POST /reports/life-of-ticket', { ticket: 'AB-1', format: 'html' }],
      ['POST /reports/pr_confidence', { pr: 7 }],
    ]);
  });

  test('a text is shown to those models only that the policy allows, unless it is overridden', async ({
    api,
    service,
  }) => {
    await register(api, { secure_analyzer: service.url });
    const policy = { sensitive: true, allowed_models: ['bedrock', 'ollama'], suggestions: ['mask the key'] };
    const summary = { summaries: { bedrock: 'Short.' } };
    service.answer(({ path }) => ({ body: path === '/suggest' ? policy : { success: true, data: summary } }));
    const providers = [{ name: 'bedrock' }, { name: 'ollama' }];
    const text = { content: 'An API key', keywords: ['key'] };
    expect(told(await api.post('/summarization/suggest', text))).toEqual({
      status: 200,
      body: {
        suggestion: policy,
        result: summary,
        policy_override: false,
        providers_used: providers,
        suggestions: ['mask the key'],
      },
    });
    const sent = { ...text, keyword_document: null };
    expect(called(service)).toEqual([
      ['POST /suggest', sent],
      ['POST /summarize', { ...sent, providers, override_policy: false }],
    ]);
    service.calls.length = 0;
    expect((await api.post('/summarization/suggest', { ...text, override_policy: true })).body).toMatchObject({
      policy_override: true,
      providers_used: null,
    });
    expect(called(service)[1]).toEqual(['POST /summarize', { ...sent, providers: null, override_policy: true }]);

    // Without a list of models there is no policy: nobody gets to see the text.
    service.calls.length = 0;
    service.answer(() => ({ body: { sensitive: false } }));
    expectProblem(await api.post('/summarization/suggest', text), 502, 'upstream_error');
    expect(called(service)).toEqual([['POST /suggest', sent]]);
  });

  test('the demo has one form, whether the report service or the own executions tell it', async ({ api, service }) => {
    const tenant = { 'X-Tenant-ID': 'demo' };
    const failing = { task_type: 'test_task', params: { fail_with: 'x' }, max_attempts: 1 };
    const theirs = [{ task_type: 'test_task' }, { task_type: 'test_task' }, failing];
    for (const task of theirs) {
      const id = await api.assign(task, tenant);
      await until(async () => /completed|failed/.test((await api.get(`/result/${id}?wait=5`, tenant)).text));
    }
    const own = await api.post('/demo/e2e', { format: 'json', log_limit: 50 }, tenant);
    expect(told(own)).toEqual({
      status: 200,
      body: {
        summary: { total: 3, by_severity: { low: 2, high: 1 } },
        log_analysis: {
          overview: { count: expect.any(Number), by_level: { info: expect.any(Number), error: 2 } },
          sample: expect.arrayContaining([
            { service: 'orchestrator', level: 'info', message: 'workflow run requested' },
          ]),
        },
      },
    });
    const errors = await api.post('/demo/e2e', { log_level: 'error' }, tenant);
    expect(errors.body).toMatchObject({
      summary: { total: 4 },
      log_analysis: {
        overview: { count: 2, by_level: { error: 2 } },
        sample: [
          { service: 'orchestrator', level: 'error', message: 'workflow run failed' },
          { service: 'orchestrator', level: 'error', message: 'workflow task failed: task' },
        ],
      },
    });

    const { summary, log_analysis } = DEMO;
    service.answer(({ path }) => ({
      body: path === '/reports/generate' ? { data: { ...summary, extra: 1 } } : { ...log_analysis, extra: 1 },
    }));
    await register(api, { reporting: service.url }, tenant);
    const asked = { format: 'json', log_service: 'gateway', log_level: 'warn', log_limit: 50 };
    expect(told(await api.post('/demo/e2e', asked, tenant))).toEqual({
      status: 200,
      body: DEMO,
    });
    expect(called(service).sort()).toEqual([
      ['POST /reports/generate', { format: 'json' }],
      ['POST /reports/log_analysis', { format: 'json', limit: 50, service: 'gateway', level: 'warn' }],
    ]);
  });

  test('candidates are chosen by confidence, and told to a webhook or to the log', async ({ api, service, stack }) => {
    const items = [
      { id: 'p1', confidence: 0.871, owners: ['ann', 'bob'], flags: ['duplicate'] },
      { id: 'p2', confidence: 0.5 },
      { id: 'p3', confidence: 1, owners: null, flags: [] },
      { id: 'p4', confidence: 0.9 },
    ];
    service.answer(({ path }) => ({ body: path === '/notify' ? {} : { items } }));
    await register(api, { reporting: service.url });
    const webhook_url = `${service.url}/hook`;
    const ask = async (body: object) => told(await api.post('/jobs/notify-consolidation', body));
    expect(await ask({ min_confidence: 0.8, limit: 2, webhook_url })).toEqual({
      status: 200,
      body: { status: 'ok', sent: 2 },
    });
    const message = 'p1 conf=0.87 owners=[ann,bob] flags=duplicate\np3 conf=1.00 owners=[] flags=';
    const title = 'Confluence consolidation candidates';
    expect(service.calls[0]).toMatchObject({ method: 'GET', path: '/reports/confluence/consolidation' });
    expect(service.calls[0]?.query).toEqual({ min_confidence: '0.8' });
    expect(service.calls[1]).toMatchObject({ path: '/hook', body: { title, message, metadata: { count: 2 } } });

    await register(api, { notification: service.url });
    expect(await ask({ min_confidence: 0.8, limit: 2, webhook_url })).toEqual({
      status: 200,
      body: { status: 'ok', sent: 2 },
    });
    const notice = { channel: 'webhook', target: webhook_url, title, message, metadata: { count: 2 } };
    expect(service.calls.at(-1)).toMatchObject({ method: 'POST', path: '/notify', body: notice });
    const calls = service.calls.length;
    expect((await ask({})).body).toEqual({ status: 'ok', sent: 4 });
    expect(service.calls).toHaveLength(calls + 1);
    expect(stack.log.tail()).toContain('p4 conf=0.90');
    expect((await ask({ min_confidence: 1, limit: 1 })).body).toEqual({ status: 'ok', sent: 1 });
    service.answer(() => ({ body: { items: [] } }));
    expect((await ask({ webhook_url })).body).toEqual({ status: 'ok', sent: 0 });
    expect(service.calls).toHaveLength(calls + 3);

    // By a schedule the same.
    const schedule = {
      name: 'candidates',
      workflow_id: 'system:notify_consolidation',
      cron: '0 6 * * 1',
      parameters: { limit: 1 },
    };
    const { schedule_id } = accepted(await api.post('/schedules', schedule), 201).body as { schedule_id: string };
    const begun = accepted(await api.post(`/schedules/${schedule_id}/trigger`), 202).body as { execution_id: string };
    expect((await api.finished(begun.execution_id)).output).toEqual({ status: 'ok', sent: 0 });
    accepted(await api.send('DELETE', `/schedules/${schedule_id}`), 204);
  });

  test('a service that is stopped, fails, refuses or talks nonsense is named in a problem with the execution', async ({
    api,
    service,
  }) => {
    const problems = async (doors: ReadonlyArray<(typeof DOORS)[number]> = DOORS) =>
      Promise.all(
        doors.map(async ({ door, body }) => {
          const answer = await api.post(door, body);
          const { code, detail, execution_id, links } = answer.body as Record<string, string>;
          expect(answer.headers.get('content-type')).toContain('application/problem+json');
          expect(links).toEqual({ execution: `/workflows/executions/${execution_id}` });
          expect(answer.headers.get('location')).toBe(`/workflows/executions/${execution_id}`);
          return [door, answer.status, code, detail];
        }),
      );
    const each = (status: number, code: string, detail: (service: string) => unknown, doors = [...DOORS]) =>
      doors.map(({ door, service: name }) => [door, status, code, detail(name)]);
    await registerAll(api, NOBODY);
    // After a few failures the circuit of a service is open.
    const away = (name: string) =>
      expect.stringMatching(new RegExp(`^The service '${name}' is not available \\((network_error|circuit_open)\\)$`));
    expect(await problems()).toEqual(each(502, 'upstream_unavailable', away));
    await registerAll(api, service.url);
    service.answer(() => ({ status: 400 }));
    const refused = (name: string) => `The service '${name}' refused the request (upstream_rejected)`;
    expect(await problems()).toEqual(each(502, 'upstream_rejected', refused));
    service.answer(() => ({ body: '"nonsense"' }));
    const odd = (name: string) => `The service '${name}' gave an answer of another form`;
    // Whatever the report service answers to a request for a report is the report.
    const formed = DOORS.filter(({ door }) => door !== '/report/request');
    expect(await problems(formed)).toEqual(each(502, 'upstream_error', odd, formed));
    expect((await api.post('/report/request', { kind: 'generate' })).body).toBe('nonsense');
  });

  test('a slow service ends no execution: who does not wait finds it ended later', async ({ api, service }) => {
    await registerAll(api, service.url);
    const held: Array<(body: object) => void> = [];
    service.answer(() => new Promise((resolve) => held.push((body) => resolve({ body }))));
    const late = await Promise.all(DOORS.map(({ door, body }) => api.post(`${door}?wait=0.1`, body)));
    for (const answer of late) {
      expectProblem(answer, 504, 'still_running');
      expect(answer.body).toMatchObject({ execution_id: runOf(answer) });
    }
    await until(() => held.length >= DOORS.length);
    const answer = { id: 'd', items: [], allowed_models: [], ...DEMO.summary, ...DEMO.log_analysis };
    service.answer(() => ({ body: answer }));
    for (const release of held) release(answer);
    const ended = await Promise.all(late.map((one) => api.finished(runOf(one))));
    expect(ended.map(({ status, output }) => ({ status, output }))).toEqual(
      [
        { status: 'ok', sent: 0 },
        { id: 'd', content_hash: sha256('x'), created_at: null },
        answer,
        { suggestion: answer, result: answer, policy_override: false, providers_used: [], suggestions: [] },
        DEMO,
      ].map((output) => ({ status: 'completed', output })),
    );
  });
});
