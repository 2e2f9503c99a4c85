/** The platform against the stage of examples/ecosystem: the older platform's examples end to end, also when services fail. */
import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Fault } from '../../examples/ecosystem/faults.ts';
import { SERVICES } from '../../examples/ecosystem/services/all.ts';
import { analyseText, sha256 } from '../../examples/ecosystem/text.ts';
import { accepted, field, openClient, statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { callsOf, heal, onStage, received, walkThrough } from '../support/ecosystem.ts';
import { taskOf } from '../support/expect-answers.ts';

const FOLDER = 'examples/ecosystem';
const DOCUMENT_QUALITY = readJson('workflows/document-quality.json');
const PR_CONFIDENCE = readJson('workflows/pr-confidence.json');
const DOCUMENT_URL = 'https://example.com/doc.pdf';
const DOCUMENT = readFileSync(`${FOLDER}/fixtures/web/example.com/doc.pdf.md`, 'utf8');
const PULL_REQUEST = readJson('fixtures/github/octo__shop-42.json');
const UNUSABLE = {
  code: 'template_unresolved',
  action_id: 'analyze_quality',
  message: "{{fetch_doc.response.content}}: the output of 'fetch_doc' has no 'response.content'",
};
const UNREACHABLE = {
  code: 'network_error',
  action_id: 'fetch_doc',
  message: expect.stringContaining('could not be reached'),
};
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const TRACE = expect.stringMatching(/^[0-9a-f]{32}$/);

// One retry after a second, so that what fails for good does so soon.
const stacks = onStage({ environment: { MAX_RETRY_ATTEMPTS: '1', RETRY_BACKOFF_BASE: '1' } });

describe.each(stacks)('the stage and the platform on $backend', ({ test }) => {
  test('the services are registered by themselves, with where they are and what they serve', async ({ api, stage }) => {
    const { services } = accepted(await api.get('/registry'), 200).body as { services: Array<{ name: string }> };
    const names = SERVICES.map(({ name }) => name).sort();
    expect(services.filter(({ name }) => names.includes(name))).toEqual(
      names.map((name) => {
        const { url, endpoints } = stage.services.get(name) ?? {};
        return expect.objectContaining({ name, base_url: url, openapi_url: `${url}/openapi.json`, endpoints });
      }),
    );
  });

  test('the document example hands the content that source_agent answered to analysis_service', async ({
    api,
    stage,
  }) => {
    const workflowId = await api.createWorkflow(DOCUMENT_QUALITY);
    const body = { parameters: { document_url: DOCUMENT_URL }, correlation_id: 'doc-1' };
    const run = await api.finished(await api.execute(workflowId, body));
    const fetched = {
      id: `web-${sha256(DOCUMENT_URL).slice(0, 12)}`,
      source: 'web',
      url: DOCUMENT_URL,
      title: 'Returning goods to the shop',
      content: DOCUMENT,
      content_hash: sha256(DOCUMENT),
    };
    const answered = (response: object) => ({
      status: 200,
      headers: expect.objectContaining({ 'content-type': 'application/json; charset=utf-8' }),
      response,
    });
    const analysed = answered(analyseText(DOCUMENT));
    expect(run).toEqual({
      ...commonFields(run.execution_id, workflowId, 2),
      parameters: { document_url: DOCUMENT_URL },
      correlation_id: 'doc-1',
      output: { analyze_quality: analysed },
      tasks: [
        {
          ...commonTask('fetch_doc'),
          input: service('source_agent', '/fetch', 'POST', { url: DOCUMENT_URL }),
          output: answered(fetched),
        },
        {
          ...commonTask('analyze_quality'),
          input: service('analysis_service', '/analyze', 'POST', { content: DOCUMENT }),
          output: analysed,
        },
      ],
    });
    expect(received(stage, 'analysis_service')).toEqual({
      method: 'POST',
      path: '/analyze',
      query: {},
      body: { content: DOCUMENT },
      idempotency_key: `${run.execution_id}.1.analyze_quality`,
      correlation_id: 'doc-1',
      traceparent: expect.stringContaining(run.trace_id ?? 'none'),
    });
  });

  test('the pull request example asks by GET with a query, and the data arrives as an object', async ({
    api,
    stage,
  }) => {
    const workflowId = await api.createWorkflow(PR_CONFIDENCE);
    const body = { parameters: { pr_number: 42, repository: 'octo/shop' } };
    const run = await api.finished(await api.execute(workflowId, body));
    expect(run.output).toEqual({
      analyze_confidence: {
        status: 200,
        headers: expect.any(Object),
        response: {
          confidence: 0.729,
          level: 'medium',
          factors: { requirements: 0.5, tests: 1, checks: 0.667, size: 0.956, review: 1 },
          missing_requirements: ['The customer gets a mail when the refund has failed'],
          recommendation: 'Ask for what is missing: The customer gets a mail when the refund has failed',
        },
      },
    });
    expect(received(stage, 'source_agent')).toMatchObject({
      method: 'GET',
      path: '/github/pr',
      query: { pr_number: '42', repository: 'octo/shop' },
    });
    expect(received(stage, 'source_agent').body).toBeUndefined();
    expect(received(stage, 'analysis_service')).toMatchObject({
      method: 'POST',
      path: '/calculate_confidence',
      body: { pr_data: PULL_REQUEST },
    });
  });

  test('what a service does not have ends the run with what it said', async ({ api, stage }) => {
    const before = stage.services.get('analysis_service')?.received.length;
    const run = await api.run(PR_CONFIDENCE, { pr_number: 404, repository: 'octo/shop' });
    expect(run).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_rejected', message: expect.stringContaining('octo/shop has no pull request 404') },
    });
    expect(stage.services.get('analysis_service')?.received).toHaveLength(before ?? Number.NaN);
  });

  test('a service that is stopped is tried again, and the run completes once it is there', async ({ api, stage }) => {
    await stage.afflict('source_agent', { kind: 'stopped' });
    const workflowId = await api.createWorkflow(DOCUMENT_QUALITY);
    const id = await api.execute(workflowId, { parameters: { document_url: DOCUMENT_URL } });
    await until(async () => taskOf(await api.execution(id), 'fetch_doc').status === 'retrying', {
      what: 'it failed once',
    });
    await stage.afflict('source_agent', { kind: 'none' });
    const run = await api.finished(id);
    expect(run.status).toBe('completed');
    expect(run.tasks.map(({ action_id, attempts }) => [action_id, attempts])).toEqual([
      ['fetch_doc', 2],
      ['analyze_quality', 1],
    ]);
  });

  test('services that fail half of their calls do not stop twenty runs', async ({ api, stage }) => {
    for (const name of ['source_agent', 'analysis_service'])
      await stage.afflict(name, { kind: 'fail', every: 2, seed: 1, status: 503 });
    const before = callsOf(stage);
    const workflowId = await api.createWorkflow(
      withRetry({ max_attempts: 20, backoff: 'fixed', initial_delay_seconds: 0.1 }),
    );
    const parameters = { document_url: DOCUMENT_URL };
    const items = Array.from({ length: 20 }, () => ({ parameters }));
    const begun = accepted(await api.post(`/workflows/${workflowId}/executions`, { items }), 202);
    const ids = (begun.body as { items: Array<{ execution_id: string }> }).items.map(
      ({ execution_id }) => execution_id,
    );
    const runs = await Promise.all(ids.map((id) => api.finished(id)));
    await heal(stage);
    expect(runs.map(({ status }) => status)).toEqual(Array(20).fill('completed'));
    expect(runs.map(({ output }) => output)).toEqual(
      Array(20).fill({ analyze_quality: expect.objectContaining({ response: analyseText(DOCUMENT) }) }),
    );
    // Every call is an attempt of some run; of n calls half failed, and the others made the twenty.
    const attempts = (action: string) => runs.reduce((sum, run) => sum + taskOf(run, action).attempts, 0);
    const calls = callsOf(stage);
    for (const [name, action] of [
      ['source_agent', 'fetch_doc'],
      ['analysis_service', 'analyze_quality'],
    ] as const) {
      const made = (calls[name] ?? 0) - (before[name] ?? 0);
      expect(attempts(action)).toBe(made);
      expect(Math.floor(made / 2)).toBe(20);
    }
  });

  test('a slow service is waited for, and no longer than the action says', async ({ api, stage }) => {
    await stage.afflict('source_agent', { kind: 'slow', delay_ms: 1_500 });
    const parameters = { document_url: DOCUMENT_URL };
    const [waited, given] = await Promise.all([
      api.run(DOCUMENT_QUALITY, parameters),
      api.run(withRetry({ max_attempts: 1 }, { timeout_seconds: 1 }), parameters),
    ]);
    await heal(stage);
    expect(waited.status).toBe('completed');
    expect(taskOf(waited, 'fetch_doc').duration_ms).toBeGreaterThanOrEqual(1_500);
    expect(given).toMatchObject({ status: 'failed', error: { code: 'timeout', action_id: 'fetch_doc' } });
  });

  test.for<[which: string, fault: Fault, attempts: number, error: object]>([
    ['that answer with a page', { kind: 'lie', how: 'content_type' }, 1, UNUSABLE],
    ['that hide an error behind status 200', { kind: 'lie', how: 'error_in_200' }, 1, UNUSABLE],
    ['whose answer breaks off', { kind: 'lie', how: 'half_answer' }, 2, UNREACHABLE],
    ['that stay away', { kind: 'stopped' }, 2, UNREACHABLE],
  ])('services %s make the run fail and say so', async ([, fault, attempts, error], { api, stage }) => {
    await stage.afflict('source_agent', fault);
    const before = callsOf(stage)['analysis_service'];
    const run = await api.run(DOCUMENT_QUALITY, { document_url: DOCUMENT_URL });
    await heal(stage);
    expect(run).toMatchObject({ status: 'failed', error });
    expect(taskOf(run, 'fetch_doc').attempts).toBe(attempts);
    // analysis_service has not been asked about what nobody answered.
    expect(callsOf(stage)['analysis_service']).toBe(before);
  });

  test('doc_store keeps in PostgreSQL what a run stores, once for each task, and flags what is wrong with it', async ({
    api,
    db,
    stage,
  }) => {
    const save = { service: 'doc_store', endpoint: '/documents', method: 'POST' };
    const action = (action_id: string, parameters: object) => ({
      action_id,
      action_type: 'service_call',
      config: { ...save, parameters },
      retry: { max_attempts: 20, backoff: 'fixed', initial_delay_seconds: 0.25 },
    });
    // The answer of the first call is lost, so it is made again: the same document, not a second one.
    await stage.afflict('doc_store', { kind: 'lie', how: 'half_answer' });
    const workflowId = await api.createWorkflow({
      name: 'Store',
      actions: [
        action('long', { content: DOCUMENT, metadata: { by: 'test' } }),
        action('short', { id: 'short-1', content: 'Too short.' }),
      ],
    });
    const id = await api.execute(workflowId);
    await until(async () => (await db.query('SELECT 1 FROM doc_store.document')).rowCount === 2, {
      what: 'both are stored',
    });
    await heal(stage);
    const run = await api.finished(id);
    expect(run).toMatchObject({ status: 'completed', output: { long: { status: 201 }, short: { status: 201 } } });
    for (const { attempts } of run.tasks) expect(attempts).toBeGreaterThan(1);
    const made = sha256(`${run.execution_id}.1.long`).slice(0, 24);
    const { rows } = await db.query('SELECT id, content_hash, metadata FROM doc_store.document ORDER BY id');
    expect(rows).toEqual([
      { id: `doc-${made}`, content_hash: sha256(DOCUMENT), metadata: { by: 'test' } },
      { id: 'short-1', content_hash: sha256('Too short.'), metadata: {} },
    ]);
    const store = openClient(stage.services.get('doc_store')?.url ?? '');
    expect((await store.get('/documents/short-1')).body).toEqual({
      id: 'short-1',
      content: 'Too short.',
      content_hash: sha256('Too short.'),
      metadata: {},
      created_at: TIME,
      updated_at: TIME,
    });
    expect((await store.get('/documents/none')).status).toBe(404);
    const { items } = (await store.get('/documents/quality')).body as { items: Array<{ id: string; flags: string[] }> };
    expect(Object.fromEntries(items.map(({ id: name, flags }) => [name, flags]))).toEqual({
      [`doc-${made}`]: [],
      'short-1': ['too_short', 'no_title'],
    });
  });

  test('every service has a document that can be polled, and one that drifts is told with what it lost', async ({
    api,
    stage,
  }) => {
    const poll = async (body: object) => accepted(await api.post('/registry/poll-openapi', body), 200).body;
    const names = SERVICES.map(({ name }) => name).sort();
    expect(await poll({ services: names })).toMatchObject({
      results: names.map((service) => ({
        service,
        changed: true,
        removed: [],
        operations: stage.services.get(service)?.endpoints.length,
      })),
    });
    await stage.afflict('analysis_service', { kind: 'drift', without: '/calculate_confidence' });
    expect(await poll({ services: ['analysis_service', 'reporting'] })).toMatchObject({
      results: [
        {
          service: 'analysis_service',
          changed: true,
          added: [],
          removed: ['POST /calculate_confidence'],
          breaking: true,
        },
        { service: 'reporting', changed: false },
      ],
    });
    // What its document no longer has it does no longer do.
    const run = await api.run(PR_CONFIDENCE, { pr_number: 42, repository: 'octo/shop' });
    await heal(stage);
    expect(run).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_rejected', action_id: 'analyze_confidence', message: expect.stringContaining('gone') },
    });
  });

  test('a sentence is understood, and only what it asks for is done', async ({ api }) => {
    const asked = (question: string) => api.run(readJson('workflows/ask.json'), { question });
    const [pull, page, nothing] = await Promise.all([
      asked('What confidence do we have in PR 42 of octo/shop?'),
      asked(`Analyze the quality of ${DOCUMENT_URL}`),
      asked('Blue is a colour'),
    ]);
    expect(pull.output).toEqual({
      intent: 'pr_confidence',
      quality: null,
      confidence: expect.objectContaining({ confidence: 0.729 }),
    });
    expect(statuses(pull)).toMatchObject({ quality: 'skipped', pull_request: 'completed', confidence: 'completed' });
    expect(page.output).toEqual({ intent: 'analyze_document', quality: analyseText(DOCUMENT), confidence: null });
    expect(statuses(page)).toMatchObject({ quality: 'completed', pull_request: 'skipped', confidence: 'skipped' });
    expect(nothing.output).toEqual({ intent: 'unknown', quality: null, confidence: null });
  });

  test('a source is ingested into doc_store, and several are, but for one that nobody has', async ({
    api,
    db,
    stage,
  }) => {
    const ingested = accepted(
      await api.post('/ingest', { source: 'confluence', scope: {}, correlation_id: 'in-1' }),
      200,
    );
    expect(ingested.body).toEqual({
      status: 'accepted',
      source: 'confluence',
      correlation_id: 'in-1',
      trace_id: TRACE,
      execution_id: expect.any(String),
      timestamp: TIME,
      links: expect.any(Object),
    });
    const pages = ['refunds-for-support.md', 'refunds.md', 'warehouse.md'];
    const ids = pages.map((name) => `confluence:confluence-${sha256(`confluence://${name}`).slice(0, 12)}`);
    const run = await api.finished(field(ingested, 'execution_id'));
    expect(run).toMatchObject({
      status: 'completed',
      output: { source: 'confluence', agent: 'source_agent', stored_in: 'doc_store', documents: ids },
    });
    const { rows } = await db.query('SELECT id, content FROM doc_store.document WHERE id = ANY($1)', [ids]);
    expect(new Map(rows.map(({ id, content }) => [id, content]))).toEqual(
      new Map(pages.map((name, at) => [ids[at], readFileSync(`${FOLDER}/fixtures/confluence/${name}`, 'utf8')])),
    );
    expect(received(stage, 'doc_store')).toMatchObject({ path: '/documents', correlation_id: 'in-1' });

    const sources = ['jira', 'swagger', 'sharepoint'];
    const started = accepted(await api.post('/workflows/run', { sources, correlation_id: 'in-2' }), 200);
    expect(started.body).toMatchObject({
      status: 'started',
      steps: sources.map((source) => ({ op: 'ingest', source })),
      correlation_id: 'in-2',
    });
    expect(await api.finished(field(started, 'execution_id'))).toMatchObject({
      status: 'completed',
      output: {
        completed: [
          { source: 'jira', stored_in: 'doc_store', documents: { length: 1 } },
          { source: 'swagger', stored_in: 'doc_store', documents: { length: 1 } },
        ],
        failed: ['sharepoint'],
      },
    });
  });

  test('a document is saved, flagged documents are counted, and candidates are told of', async ({ api, db, stage }) => {
    const document = { id: 'saved-1', content: 'Short.', metadata: { by: 'door' } };
    const saved = accepted(await api.post('/docstore/save', document), 200);
    expect(saved.body).toEqual({ id: 'saved-1', content_hash: sha256('Short.'), created_at: TIME });
    const { rows } = await db.query(`SELECT content, metadata FROM doc_store.document WHERE id = 'saved-1'`);
    expect(rows).toEqual([{ content: 'Short.', metadata: { by: 'door' } }]);

    const store = openClient(stage.services.get('doc_store')?.url ?? '');
    const { items } = (await store.get('/documents/quality')).body as { items: Array<{ flags: string[] }> };
    const flagged = items.filter(({ flags }) => flags.length > 0).length;
    expect(flagged).toBeGreaterThan(0);
    expect((await api.post('/jobs/recalc-quality')).body).toEqual({ status: 'success', flagged, timestamp: TIME });

    const asked = { min_confidence: 0.5, webhook_url: 'https://example.com/hook' };
    expect((await api.post('/jobs/notify-consolidation', asked)).body).toEqual({ status: 'ok', sent: 1 });
    expect(received(stage, 'notification')).toMatchObject({
      path: '/notify',
      body: {
        channel: 'webhook',
        target: 'https://example.com/hook',
        message: expect.stringMatching(
          /^confluence-\w{12} conf=0\.\d\d owners=\[ada,mona\] flags=like confluence-\w{12}$/,
        ),
        metadata: { count: 1 },
      },
    });
  });

  test('reports, summaries by policy and the demo are what the services answer', async ({ api }) => {
    const report = async (kind: string, payload: object) =>
      accepted(await api.post('/report/request', { kind, payload }), 200).body;
    expect(await report('generate', {})).toEqual({ total: 3, by_severity: { low: 2, med: 1 } });
    expect(await report('life_of_ticket', { ticket: 'SHOP-7' })).toMatchObject({ ticket: 'SHOP-7', total_hours: 73 });
    const pull = { pr_number: 42, repository: 'octo/shop', jira_ticket: 'SHOP-7' };
    expect(await report('pr_confidence', pull)).toMatchObject({ title: 'Retry failed refunds', level: 'high' });

    const content = 'The deployment needs a token: s3cr3t-value. It runs at night. The deployment takes an hour.';
    const suggested = accepted(await api.post('/summarization/suggest', { content }), 200);
    expect(suggested.body).toEqual({
      suggestion: {
        sensitive: true,
        severity: 'critical',
        findings: [{ kind: 'password', at: 23, hint: 'toke****' }],
        allowed_models: ['local-extractive'],
        suggestion: 'Use local-extractive: secrets: password.',
      },
      result: {
        summary: expect.not.stringContaining('s3cr3t'),
        provider_used: 'local-extractive',
        policy_enforced: false,
        word_count: expect.any(Number),
        topics_detected: expect.any(Array),
      },
      policy_override: false,
      providers_used: [{ name: 'local-extractive' }],
      suggestions: [],
    });

    // The example request of the older platform, and the very numbers of its answer.
    const demo = accepted(await api.post('/demo/e2e', { format: 'json', log_limit: 50 }), 200);
    const lines = JSON.parse(readFileSync(`${FOLDER}/fixtures/reporting/logs.json`, 'utf8')) as object[]; // It is a list.
    expect(demo.body).toEqual({
      summary: { total: 3, by_severity: { low: 2, med: 1 } },
      log_analysis: { overview: { count: 12, by_level: { info: 9, warn: 2, error: 1 } }, sample: lines.slice(0, 5) },
    });
  });

  test('the shipped templates run against the stage', async ({ api }) => {
    const run = async (template_name: string, parameters: object) => {
      const made = accepted(await api.post('/workflows/from-template', { template_name, customizations: {} }), 201);
      return api.finished(await api.execute(field(made, 'workflow_id'), { parameters }));
    };
    const [documents, pull, summary] = await Promise.all([
      run('document_analysis', { document_urls: [DOCUMENT_URL, 'https://example.com/short.md'] }),
      run('pr_confidence_analysis', { pr_number: 42, repository: 'octo/shop', jira_ticket: 'SHOP-7' }),
      run('llm_summarize', { content: DOCUMENT, max_words: 40 }),
    ]);
    expect(documents).toMatchObject({
      status: 'completed',
      output: { analysis: { documents: [analyseText(DOCUMENT), { flags: ['too_short', 'no_title'] }] } },
    });
    expect(taskOf(pull, 'analyze_confidence').output).toMatchObject({
      response: { pr_number: 42, ticket: 'SHOP-7', factors: { requirements: 0.75 } },
    });
    expect(summary).toMatchObject({ status: 'completed', output: { summary: expect.stringMatching(/\w/) } });
  });

  test('the commands of the walk-through work as pasted, one after the other', async ({ api, stage }) => {
    expect(await walkThrough(api, stage)).toMatchObject([
      { services: { length: SERVICES.length } },
      { status: 'completed', result: { analyze_quality: { response: analyseText(DOCUMENT) } } },
      { status: 'completed', result: { analyze_confidence: { response: { confidence: 0.729, level: 'medium' } } } },
      { status: 'completed', result: { intent: 'pr_confidence', confidence: { confidence: 0.729 } } },
      { status: 'accepted', source: 'confluence' },
      { status: 'completed', result: { source: 'confluence', stored_in: 'doc_store', documents: { length: 3 } } },
      { status: 'started', steps: { length: 4 } },
      { id: 'note-1', content_hash: sha256('A short note.') },
      { status: 'success', flagged: expect.any(Number) },
      { status: 'ok', sent: 1 },
      { total: 3, by_severity: { low: 2, med: 1 } },
      { ticket: 'SHOP-7', total_hours: 73 },
      { title: 'Retry failed refunds', level: 'high' },
      { suggestion: { severity: 'critical' }, providers_used: [{ name: 'local-extractive' }] },
      { summary: { total: 3 }, log_analysis: { overview: { count: 12 } } },
      { service: 'analysis_service', fault: { kind: 'fail', every: 2, status: 503 } },
      { status: 'completed', result: { analyze_quality: { response: { words: 194 } } } },
      { tasks: [{ attempts: 1 }, { attempts: 2, attempts_history: [{ status: 'failed' }, { status: 'completed' }] }] },
      { service: 'analysis_service', fault: { kind: 'none' } },
      { service: 'analysis_service', calls: expect.any(Array) },
      { results: { length: SERVICES.length } },
      { service: 'analysis_service', fault: { kind: 'drift' } },
      { results: [{ service: 'analysis_service', changed: true, removed: ['POST /pr_confidence'], breaking: true }] },
      { service: 'analysis_service', fault: { kind: 'none' } },
    ]);
  });
});

function readJson(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8'));
}

/** The document example, with this for each of its actions. */
function withRetry(retry: object, more: object = {}): object {
  const actions = DOCUMENT_QUALITY['actions'] as object[]; // The file has a list.
  return { ...DOCUMENT_QUALITY, actions: actions.map((action) => ({ ...action, ...more, retry })) };
}

function service(name: string, endpoint: string, method: string, parameters: object): object {
  return { service: name, endpoint, method, parameters };
}

function commonFields(executionId: string, workflowId: string, tasks: number): object {
  return {
    execution_id: executionId,
    workflow_id: workflowId,
    workflow_version: 1,
    status: 'completed',
    error: null,
    priority: 50,
    parent: null,
    cancel_reason: null,
    deadline_at: null,
    tenant_id: 'default',
    user_id: 'anonymous',
    trace_id: TRACE,
    duration_ms: expect.any(Number),
    created_at: TIME,
    started_at: TIME,
    finished_at: TIME,
    progress: {
      ...{ total: tasks, completed: tasks, failed: 0, skipped: 0, running: 0, pending: 0, percent: 100 },
      ...{ total_actions: tasks, completed_actions: tasks, percentage: 100, current_action: null },
    },
  };
}

function commonTask(actionId: string): object {
  return {
    action_id: actionId,
    action_type: 'service_call',
    status: 'completed',
    attempts: 1,
    attempts_history: [expect.objectContaining({ attempt: 1, status: 'completed', error: null })],
    progress: null,
    error: null,
    queued_at: TIME,
    started_at: TIME,
    finished_at: TIME,
    duration_ms: expect.any(Number),
    worker: expect.any(String),
  };
}
