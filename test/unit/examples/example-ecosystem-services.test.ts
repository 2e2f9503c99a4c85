/** The services of the stage over HTTP, but for doc_store, which needs a database. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keepRegistered } from '../../../examples/ecosystem/registration.ts';
import { SERVICES } from '../../../examples/ecosystem/services/all.ts';
import { openStage, type Stage } from '../../../examples/ecosystem/stage.ts';
import { analyseText, sha256 } from '../../../examples/ecosystem/text.ts';
import { openOrchestrator } from '../../../examples/orchestrator.ts';
import { type Client, openClient } from '../../harness/client/client.ts';
import { startService } from '../../harness/services/service.ts';
import { until } from '../../harness/until.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage({
    services: SERVICES.filter(({ name }) => name !== 'doc_store'),
    host: '127.0.0.1',
    ports: 'free',
    controlPort: 0,
    databaseUrl: undefined,
  });
});
afterAll(() => stage.close());

function service(name: string): Client {
  return openClient(stage.services.get(name)?.url ?? '');
}

describe('source_agent', () => {
  test('serves the document at a URL from its folder', async () => {
    const { status, body } = await service('source_agent').post('/fetch', { url: 'https://example.com/doc.pdf' });
    const { content } = body as { content: string };
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        id: `web-${sha256('https://example.com/doc.pdf').slice(0, 12)}`,
        source: 'web',
        url: 'https://example.com/doc.pdf',
        title: 'Returning goods to the shop',
        content: expect.stringContaining('The customer opens the order'),
        content_hash: sha256(content),
      },
    });
  });

  test.each([
    'https://example.com/none',
    'https://example.org/doc.pdf',
    'https://example.com/../../github/octo__shop-42.json',
    'https://example.com/%2e%2e%2f%2e%2e%2fgithub%2focto__shop-42.json',
  ])('answers %s with neither a document nor a fault of its own', async (url) => {
    expect([400, 404]).toContain((await service('source_agent').post('/fetch', { url })).status);
  });

  test('ingests a source, what of it speaks of the scope, or some URLs', async () => {
    const titles = async (body: object) => {
      const answer = await service('source_agent').post('/ingest', body);
      return (answer.body as { documents: Array<{ title: string }> }).documents.map(({ title }) => title);
    };
    expect(await titles({ source: 'confluence' })).toEqual([
      'Refunds, for the service desk',
      'How refunds work',
      'The warehouse',
    ]);
    expect(await titles({ source: 'confluence', scope: { about: 'Parcels' } })).toEqual(['The warehouse']);
    expect(await titles({ source: 'github', scope: {} })).toEqual(['Retry failed refunds', 'Rewrite the checkout']);
    expect(await titles({ urls: ['https://example.com/short.md'] })).toEqual(['short.md']);
    expect((await service('source_agent').post('/ingest', { source: 'sharepoint' })).status).toBe(404);
  });

  test('finds pull requests and issues by a query', async () => {
    const ask = service('source_agent');
    expect((await ask.get('/github/pr?pr_number=42&repository=octo/shop')).body).toMatchObject({
      number: 42,
      repository: 'octo/shop',
      files: { length: 3 },
    });
    expect((await ask.get('/github/pr?pr_number=1&repository=octo/shop')).status).toBe(404);
    expect((await ask.get('/github/pr?repository=octo/shop')).body).toMatchObject({
      error: expect.stringContaining('pr_number'),
    });
    for (const name of ['key', 'issue_key', 'ticket', 'jira_ticket']) {
      expect((await ask.get(`/jira/issue?${name}=SHOP-7`)).body).toMatchObject({ key: 'SHOP-7' });
    }
  });
});

describe('analysis_service', () => {
  test('analyses a text, the text at a URL, and documents with those that are alike', async () => {
    const ask = service('analysis_service');
    const fetched = await service('source_agent').post('/fetch', { url: 'https://example.com/doc.pdf' });
    const { content } = fetched.body as { content: string };
    expect((await ask.post('/analyze', { content })).body).toEqual(analyseText(content));
    expect((await ask.post('/analyze', { url: 'https://example.com/doc.pdf' })).body).toEqual(analyseText(content));
    const several = await ask.post('/analyze', {
      documents: {
        documents: [{ id: 'a', content }, { id: 'b', content: `${content} And again.` }, { content: 'Other words' }],
      },
    });
    expect(several.body).toMatchObject({
      documents: [{ id: 'a', ...analyseText(content) }, { id: 'b' }, { id: '2' }],
      similar: [{ left: 'a', right: 'b', overlap: 1 }],
    });
    expect(await ask.post('/analyze', {})).toMatchObject({ status: 400 });
    expect(await ask.post('/analyze', { url: 'https://example.com/none' })).toMatchObject({ status: 404 });
  });
});

describe('the services for reading', () => {
  test('llm_gateway speaks the protocol of chat completions, whole and in chunks', async () => {
    const body = {
      model: 'local-lead',
      messages: [
        { role: 'system', content: 'Summarise in one sentence.' },
        { role: 'user', content: 'First comes this. Then that.' },
      ],
    };
    const whole = await service('llm_gateway').post('/v1/chat/completions', body);
    expect(whole.body).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{24}$/),
      object: 'chat.completion',
      created: 0,
      model: 'local-lead',
      choices: [{ index: 0, message: { role: 'assistant', content: 'First comes this.' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
    });
    const chunks = await service('llm_gateway').post('/v1/chat/completions', { ...body, stream: true });
    expect(chunks.headers.get('content-type')).toBe('text/event-stream');
    const events = chunks.text.split('\n\n').filter((event) => event !== '');
    expect(events.at(-1)).toBe('data: [DONE]');
    const deltas = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)).choices[0].delta);
    expect(deltas.map(({ content = '' }) => content).join('')).toBe('First comes this.');
    const cut = await service('llm_gateway').post('/v1/chat/completions', { ...body, max_tokens: 2 });
    expect(cut.body).toMatchObject({ choices: [{ message: { content: 'First comes' }, finish_reason: 'length' }] });
    expect((await service('llm_gateway').post('/v1/chat/completions', { ...body, model: 'x' })).status).toBe(404);
  });

  test('summarizer_hub asks two models and says where they agree', async () => {
    const content = 'A refund fails. A failed refund is retried. The weather is fine.';
    expect((await service('summarizer_hub').post('/summarize', { content, max_sentences: 1 })).body).toEqual({
      summary: 'A failed refund is retried.',
      providers_used: ['local-extractive', 'local-lead'],
      summaries: { 'local-extractive': 'A failed refund is retried.', 'local-lead': 'A refund fails.' },
      agreed: [],
      agreement: expect.any(Number),
    });
    expect((await service('summarizer_hub').post('/summarize', { content, max_sentences: 3 })).body).toMatchObject({
      summary: content,
      agreed: { length: 3 },
      agreement: 1,
    });
  });

  test('secure_analyzer keeps secrets from models outside, and out of the summary', async () => {
    const content = 'The deployment needs a token: s3cr3t-value. It runs at night. The deployment takes an hour.';
    expect((await service('secure_analyzer').post('/suggest', { content })).body).toEqual({
      sensitive: true,
      severity: 'critical',
      findings: [{ kind: 'password', at: 23, hint: 'toke****' }],
      allowed_models: ['local-extractive'],
      suggestion: 'Use local-extractive: secrets: password.',
    });
    const summary = await service('secure_analyzer').post('/summarize', { content });
    expect(summary.body).toMatchObject({ provider_used: 'local-extractive', policy_enforced: true });
    expect(summary.text).not.toContain('s3cr3t');
    expect(
      (await service('secure_analyzer').post('/summarize', { content, override_policy: true })).body,
    ).toMatchObject({
      provider_used: 'public-cloud',
      policy_enforced: false,
    });
  });
});

describe('reporting and notification', () => {
  test('reporting counts what it was given', async () => {
    const ask = service('reporting');
    expect((await ask.post('/reports/generate', { format: 'json' })).body).toEqual({
      total: 3,
      by_severity: { low: 2, med: 1 },
    });
    expect((await ask.post('/reports/log_analysis', { format: 'json', limit: 50 })).body).toMatchObject({
      overview: { count: 12, by_level: { info: 9, warn: 2, error: 1 } },
      sample: [{ service: 'orchestrator', level: 'info', message: 'workflow run requested' }, {}, {}, {}, {}],
    });
    expect((await ask.post('/reports/log_analysis', { service: 'doc_store', level: 'error' })).body).toEqual({
      overview: { count: 1, by_level: { error: 1 } },
      sample: [{ service: 'doc_store', level: 'error', message: 'connection to PostgreSQL was lost' }],
    });
  });

  test('reporting takes the log of the platform in batches, and counts it with the rest', async () => {
    const ask = service('reporting');
    const line = {
      service: 'orchestrator',
      level: 'error',
      message: 'task_failed',
      timestamp: 'now',
      context: { a: 1 },
    };
    expect((await ask.post('/logs/batch', { items: [line, line] })).body).toEqual({ taken: 2 });
    const analysis = await ask.post('/reports/log_analysis', { service: 'orchestrator', level: 'error' });
    expect(analysis.body).toMatchObject({
      overview: { count: 2, by_level: { error: 2 } },
      sample: [{ service: 'orchestrator', level: 'error', message: 'task_failed' }, {}],
    });
  });

  test('the life of a ticket has the hours in each state', async () => {
    expect((await service('reporting').post('/reports/life-of-ticket', { ticket: 'SHOP-7' })).body).toEqual({
      ticket: 'SHOP-7',
      summary: 'Refunds get lost when the payment service is away',
      timeline: [
        { status: 'Open', at: '2026-03-02T09:00:00Z', by: 'ada', hours: 28.5 },
        { status: 'In Progress', at: '2026-03-03T13:30:00Z', by: 'mona', hours: 44.5 },
        { status: 'In Review', at: '2026-03-05T10:00:00Z', by: 'mona', hours: null },
      ],
      total_hours: 73,
      status: 'In Review',
    });
    expect((await service('reporting').post('/reports/life-of-ticket', { ticket: 'SHOP-8' })).status).toBe(404);
  });

  test('the report of a pull request asks source_agent and analysis_service', async () => {
    const about = { pr_number: 42, repository: 'octo/shop', jira_ticket: 'SHOP-7' };
    expect((await service('reporting').post('/reports/pr-confidence', about)).body).toEqual({
      repository: 'octo/shop',
      pr_number: 42,
      title: 'Retry failed refunds',
      confidence: expect.any(Number),
      level: 'high',
      factors: { requirements: 0.75, tests: 1, checks: 0.667, size: expect.any(Number), review: 1 },
      missing_requirements: ['The customer gets a mail when the refund has failed'],
      recommendation: 'Ask for what is missing: The customer gets a mail when the refund has failed',
    });
  });

  test('pages that say nearly the same are candidates for putting together', async () => {
    const ask = service('reporting');
    const id = (url: string) => `confluence-${sha256(url).slice(0, 12)}`;
    const { body } = await ask.get('/reports/confluence/consolidation?min_confidence=0.5');
    expect(body).toEqual({
      items: [
        {
          id: id('confluence://refunds.md'),
          title: 'How refunds work',
          confidence: expect.any(Number),
          owners: ['ada', 'mona'],
          flags: [`like ${id('confluence://refunds-for-support.md')}`],
        },
      ],
      total: 1,
    });
    expect((await ask.get('/reports/confluence/consolidation?min_confidence=1')).body).toEqual({ items: [], total: 0 });
  });

  test('a message that is sent again with its key is kept once', async () => {
    const ask = service('notification');
    const send = (key: string) => ask.post('/notify', { message: 'Hello' }, { 'idempotency-key': key });
    const first = await send('run.1.notify');
    expect((await send('run.1.notify')).body).toEqual(first.body);
    expect((await send('run.1.other')).body).not.toEqual(first.body);
    expect((await ask.get('/notifications')).body).toMatchObject({ total: 2, items: [{ message: 'Hello' }, {}] });
  });
});

describe('every service', () => {
  const names = SERVICES.map(({ name }) => name).filter((name) => name !== 'doc_store');

  test.each(names)('%s is healthy and has an OpenAPI document of what it serves', async (name) => {
    expect((await service(name).get('/health')).body).toMatchObject({ status: 'healthy', service: name });
    const document = (await service(name).get('/openapi.json')).body as { info: object; paths: object };
    expect(document.info).toMatchObject({ title: name });
    expect(Object.keys(document.paths)).toEqual(stage.services.get(name)?.endpoints);
  });

  test('refuses what does not fit with the field in question', async () => {
    expect(await service('interpreter').post('/query', { query: '' })).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'query' }] },
    });
    expect((await service('interpreter').post('/query', '{')).status).toBe(400);
    expect((await service('interpreter').get('/nowhere')).status).toBe(404);
  });

  test('misbehaves as the control door says, until it says otherwise', async () => {
    const ask = service('interpreter');
    const control = openClient(stage.controlUrl);
    const afflict = (fault: object) => control.post('/_faults', { service: 'interpreter', fault });
    const query = () => ask.post('/query', { query: 'summary' });

    expect((await afflict({ kind: 'fail', every: 2, status: 500 })).status).toBe(200);
    expect([(await query()).status, (await query()).status, (await query()).status]).toEqual([500, 200, 500]);
    await afflict({ kind: 'lie', how: 'error_in_200' });
    expect(await query()).toMatchObject({ status: 200, body: { error: 'something went wrong' } });
    await afflict({ kind: 'lie', how: 'content_type' });
    expect((await query()).headers.get('content-type')).toContain('text/html');
    await afflict({ kind: 'lie', how: 'half_answer' });
    await expect(query()).rejects.toThrow();
    await afflict({ kind: 'drift', without: '/query' });
    expect((await query()).status).toBe(404);
    expect((await ask.get('/openapi.json')).body).toMatchObject({ paths: {} });
    await afflict({ kind: 'stopped' });
    await expect(ask.get('/health')).rejects.toThrow();
    await afflict({ kind: 'none' });
    expect((await query()).status).toBe(200);
    expect((await control.get('/_calls?service=interpreter')).body).toMatchObject({
      service: 'interpreter',
      calls: expect.arrayContaining([
        expect.objectContaining({ method: 'POST', path: '/query', body: { query: 'summary' } }),
      ]),
    });

    expect((await afflict({ kind: 'explode' })).status).toBe(400);
    expect((await control.post('/_faults', { service: 'nobody', fault: { kind: 'none' } })).status).toBe(404);
  });
});

describe('the registration', () => {
  test('registers all, renews, registers anew what was forgotten, and takes all out in the end', async () => {
    const known = new Set<string>();
    const seen: string[] = [];
    const registry = await startService(({ method, path, body }) => {
      const { name = path.split('/').at(-1) ?? '' } = body as { name?: string };
      seen.push(`${method} ${path} ${name}`);
      if (path === '/registry/register') known.add(name);
      if (path === '/registry/heartbeat' && !known.has(name)) return { status: 404 };
      if (method === 'DELETE') return known.delete(name) ? { status: 204, body: '' } : { status: 404 };
      return { body: {} };
    });
    const registration = keepRegistered({
      api: openOrchestrator({ url: registry.url, apiKey: undefined }),
      services: stage.services,
      ttlSeconds: 0.3,
      say: () => undefined,
    });
    await registration.ready;
    expect(known).toEqual(new Set(stage.services.keys()));
    await until(() => seen.includes('POST /registry/heartbeat reporting'), { what: 'a heartbeat' });
    known.delete('reporting');
    await until(() => known.has('reporting'), { what: 'reporting is registered anew' });
    await registration.close();
    expect(known).toEqual(new Set());
    await registry.close();
  });

  test('waits for an orchestrator that is not there yet, and says so once', async () => {
    const lines: string[] = [];
    const registration = keepRegistered({
      api: openOrchestrator({ url: 'http://127.0.0.1:9', apiKey: undefined }),
      services: stage.services,
      ttlSeconds: 0.3,
      say: (line) => lines.push(line),
    });
    await until(() => lines.length > 0, { what: 'it says so' });
    await registration.close();
    expect(lines).toEqual([expect.stringContaining('Nothing answers at http://127.0.0.1:9')]);
  });

  test('one that is refused says why', async () => {
    const registry = await startService(() => ({ status: 401, body: { detail: 'no key', code: 'unauthenticated' } }));
    const { ready, close } = keepRegistered({
      api: openOrchestrator({ url: registry.url, apiKey: 'wrong' }),
      services: stage.services,
      ttlSeconds: 3,
      say: () => undefined,
    });
    await expect(ready).rejects.toThrow('no key');
    await close();
    await registry.close();
  });
});
