/** OpenAPI documents of real services, polled through the door, and calls by what they say. */
import { describe, expect } from 'vitest';
import { requestHash } from '../../src/engine/accept/request-hash.ts';
import type { JsonObject } from '../../src/schemas/json.ts';
import { accepted } from '../harness/client/client.ts';
import type { Answering } from '../harness/services/service.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { register } from '../support/registered.ts';

const ANOTHER = { 'x-tenant-id': 'another' };
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const ok = { 200: { description: 'ok' } };
const title = { type: 'string', minLength: 1 };

function documentOf(paths: JsonObject, version = '1'): JsonObject {
  return { openapi: '3.0.3', info: { title: 'Documents', version }, paths };
}
const save = (properties: JsonObject): JsonObject => ({
  operationId: 'saveDocument',
  parameters: [
    { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
    { name: 'dry', in: 'query', schema: { type: 'boolean' } },
  ],
  requestBody: {
    required: true,
    content: { 'application/json': { schema: { type: 'object', properties, required: ['title'] } } },
  },
  responses: ok,
});
const first = documentOf({ '/documents/{id}': { put: save({ title }) }, '/old': { get: { responses: ok } } });
const second = documentOf(
  { '/documents/{id}': { put: save({ title: { type: 'string', minLength: 3 } }) }, '/new': { get: { responses: ok } } },
  '2',
);

const YAML = `openapi: 3.1.0
info: {title: Yaml, version: '1'}
paths:
  /things:
    get:
      operationId: listThings
      responses: {'200': {description: ok}}
`;

const changedThere = [
  {
    operation: 'PUT /documents/{id}',
    breaking: true,
    changes: [{ where: 'body.title', breaking: true, message: 'minLength was 1 and is 3' }],
  },
];

/** Services by the first part of the path; each lies in its own way. */
const liars: Answering = (call, response) => {
  switch (call.path.split('/')[1]) {
    case 'plain':
      return { headers: { 'content-type': 'text/plain' }, body: JSON.stringify(first) };
    case 'yaml':
      return { headers: { 'content-type': 'application/yaml' }, body: YAML };
    case 'html':
      return { headers: { 'content-type': 'text/html' }, body: 'Not today' };
    case 'page':
      return { body: '<!doctype html><title>Error</title>' };
    case 'half':
      return { body: '{"openapi": "3.1' };
    case 'cut':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"openapi"');
      response.destroy();
      return undefined;
    case 'large':
      return { body: { ...first, 'x-padding': 'x'.repeat(4_000_001) } };
    case 'slow':
      return undefined;
    case 'odd':
      return { body: { hello: 'world' } };
    case 'bomb':
      return {
        headers: { 'content-type': 'application/yaml' },
        body: `a: &a [${'x,'.repeat(9)}]\nb: &b [${'*a,'.repeat(99)}]\nc: [${'*b,'.repeat(99)}]`,
      };
    default:
      return { status: 404, body: 'nothing here' };
  }
};

const [onRedis] = onBothBackends();

describe.each([onRedis].filter((one) => one !== undefined))('OpenAPI documents of services on $backend', ({ test }) => {
  test('a document is polled, kept, compared with the one before, and told to its tenant alone', async ({
    api,
    service,
    db,
  }) => {
    service.answer(() => ({ body: first }));
    await register(api, { documents: service.url });
    const poll = { services: ['documents'] };
    expectProblem(await api.get('/registry/documents/openapi'), 404, 'not_found');

    const allNew = {
      from_hash: null,
      hash: requestHash(first),
      added: ['GET /old', 'PUT /documents/{id}'],
      removed: [],
      changed_operations: [],
      breaking: false,
      operations: 2,
    };
    const { from_hash: _none, ...polledFirst } = allNew;
    const answer = await api.post('/registry/poll-openapi', poll);
    expect(answer).toMatchObject({
      status: 200,
      body: { results: [{ service: 'documents', changed: true, ...polledFirst }] },
    });
    const run = await api.execution(answer.headers.get('x-execution-id') ?? '');
    expect(run.tasks.map(({ action_id, status }) => [action_id, status])).toEqual([
      ['targets', 'completed'],
      ['poll', 'completed'],
    ]);

    // The same in another order of its keys is the same.
    service.answer(() => ({ body: Object.fromEntries(Object.entries(first).reverse()) }));
    const unchanged = { added: [], removed: [], changed_operations: [], breaking: false, operations: 2 };
    expect((await api.post('/registry/poll-openapi')).body).toEqual({
      results: [{ service: 'documents', changed: false, hash: requestHash(first), ...unchanged }],
    });

    service.answer(() => ({ body: second }));
    const drifted = {
      hash: requestHash(second),
      added: ['GET /new'],
      removed: ['GET /old'],
      changed_operations: changedThere,
      breaking: true,
      operations: 2,
    };
    const polls = await Promise.all([1, 2, 3].map(() => api.post('/registry/poll-openapi', poll)));
    const results = polls.flatMap(({ body }) => (body as { results: object[] }).results);
    expect(results.filter((result) => 'changed' in result && result.changed === true)).toEqual([
      { service: 'documents', changed: true, ...drifted },
    ]);
    expect((await db.query('SELECT count(*)::int AS n FROM service_drift')).rows).toEqual([{ n: 2 }]);

    const told = (await db.query("SELECT tenant_id, run_id, data FROM platform_event WHERE kind = 'findings.created'"))
      .rows;
    expect(told).toEqual([
      {
        tenant_id: 'default',
        run_id: expect.any(String),
        data: {
          type: 'api_drift_candidate',
          service: 'documents',
          severity_counts: { high: 1 },
          from_hash: requestHash(first),
          hash: requestHash(second),
          breaking: true,
          added: ['GET /new'],
          removed: ['GET /old'],
          changed: ['PUT /documents/{id}'],
        },
      },
    ]);

    expect((await api.get('/registry/documents/drift')).body).toEqual({
      service: 'documents',
      items: [
        { at: TIME, from_hash: requestHash(first), ...drifted },
        { at: TIME, ...allNew },
      ],
      count: 2,
    });
    expect((await api.get('/registry/documents/drift?limit=1')).body).toMatchObject({ count: 1 });
    expectProblem(await api.get('/registry/documents/drift?limit=0'), 400, 'invalid_request');
    expect((await api.get('/registry/documents/openapi')).body).toEqual({
      service: 'documents',
      url: `${service.url}/openapi.json`,
      hash: requestHash(second),
      title: 'Documents',
      version: '2',
      operations: 2,
      fetched_at: TIME,
      changed_at: TIME,
      document: second,
    });
    const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } };
    const dry = { name: 'dry', in: 'query', required: false, schema: { type: 'boolean' } };
    const schema = { type: 'object', properties: { title: { type: 'string', minLength: 3 } }, required: ['title'] };
    expect((await api.get('/registry/documents/operations')).body).toEqual({
      service: 'documents',
      items: expect.arrayContaining([
        {
          operation_id: 'saveDocument',
          method: 'PUT',
          path: '/documents/{id}',
          summary: null,
          deprecated: false,
          parameters: [id, dry],
          body: { required: true, media_type: 'application/json', schema },
        },
        {
          operation_id: 'GET /new',
          method: 'GET',
          path: '/new',
          summary: null,
          deprecated: false,
          parameters: [],
          body: null,
        },
      ]),
      count: 2,
    });
    for (const path of ['openapi', 'operations', 'drift'])
      expectProblem(await api.get(`/registry/documents/${path}`, ANOTHER), 404, 'not_found');
    expect((await api.post('/registry/poll-openapi', undefined, ANOTHER)).body).toEqual({ results: [] });
  });

  test('a service that lies is told by its name, and stands in nobody’s way', async ({ api, service, db }) => {
    service.answer(liars);
    const names = ['plain', 'html', 'page', 'half', 'cut', 'large', 'slow', 'odd', 'bomb', 'none'];
    await register(api, Object.fromEntries(names.map((name) => [name, `${service.url}/${name}`])));
    const yaml = {
      name: 'yaml',
      base_url: `${service.url}/elsewhere`,
      openapi_url: `${service.url}/yaml/docs/api.yaml`,
    };
    accepted(await api.post('/registry/register', yaml), 200);
    const wanted = ['yaml', ...names, 'unknown', 'plain'];
    const answer = await api.post('/registry/poll-openapi', { services: wanted, timeout_seconds: 3 });
    const fresh = {
      changed: true,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      removed: [],
      changed_operations: [],
      breaking: false,
    };
    const refused = (name: string, error: string) => ({ service: name, error: expect.stringContaining(error) });
    expect(answer.body).toEqual({
      results: [
        { service: 'yaml', ...fresh, added: ['GET /things'], operations: 1 },
        { service: 'plain', ...fresh, added: ['GET /old', 'PUT /documents/{id}'], operations: 2 },
        refused('html', "the document of 'html' is a page"),
        refused('page', "the document of 'page' is a page"),
        refused('half', "the document of 'half' cannot be read as JSON or YAML"),
        refused('cut', 'could not be reached'),
        refused('large', 'is longer than 4000000 characters'),
        refused('slow', "the document of 'slow' did not come within 3 s"),
        refused('odd', "this is no OpenAPI document: it has no field 'openapi' with 3.x"),
        refused('bomb', "the document of 'bomb' cannot be read as JSON or YAML"),
        refused('none', "the document of 'none' answered 404"),
        refused('unknown', "the service 'unknown' is not known"),
      ],
    });
    // What may pass is tried again, what cannot is not.
    const tries = (name: string) => service.calls.filter(({ path }) => path.startsWith(`/${name}/`)).length;
    expect(names.map((name) => [name, tries(name)])).toEqual([
      ...[
        ['plain', 1],
        ['html', 1],
        ['page', 1],
        ['half', 2],
        ['cut', 2],
        ['large', 1],
        ['slow', 2],
        ['odd', 1],
        ['bomb', 2],
        ['none', 1],
      ],
    ]);
    const kept = await db.query("SELECT service FROM service_document WHERE service <> 'documents' ORDER BY service");
    expect(kept.rows).toEqual([{ service: 'plain' }, { service: 'yaml' }]);
    expectProblem(await api.post('/registry/poll-openapi', { services: 'yaml' }), 400, 'invalid_request');
  });

  test('an operation is called as the newest document says, or not at all', async ({ api, service }) => {
    let document = first;
    service.answer(({ path }) => ({ body: path === '/openapi.json' ? document : { saved: true } }));
    await register(api, { archive: service.url, silent: service.url });
    accepted(await api.post('/registry/poll-openapi', { services: ['archive'] }), 200);
    const calls = () => service.calls.filter(({ path }) => path !== '/openapi.json');
    const call = (config: object) => ({
      name: 'archive',
      parameters: [{ name: 'title', type: 'string', default: 'T' }],
      actions: [{ action_id: 'save', action_type: 'service_call', config: { service: 'archive', ...config } }],
    });
    const save = call({
      operation_id: 'saveDocument',
      parameters: { id: 'a/b', dry: true, title: '{{title}}', more: [1] },
      headers: { 'X-Team': 'x' },
    });
    const workflow = await api.createWorkflow(save);
    const execute = async (parameters: object) => {
      const run = await api.finished(await api.execute(workflow, { parameters }));
      return { status: run.status, task: taskOf(run, 'save') };
    };
    const refused = (message: string) => ({
      status: 'failed',
      task: { attempts: 1, error: { code: 'input_invalid', message: expect.stringContaining(message) } },
    });

    expect(await execute({})).toMatchObject({
      status: 'completed',
      task: { output: { status: 200, response: { saved: true } } },
    });
    expect(calls()).toMatchObject([
      {
        method: 'PUT',
        path: '/documents/a%2Fb',
        query: { dry: 'true' },
        body: { title: 'T', more: [1] },
        headers: { 'x-team': 'x' },
      },
    ]);
    expect(await execute({ title: '' })).toMatchObject(
      refused('parameters.title: must NOT have fewer than 1 characters'),
    );

    const unknown = await api.post('/workflows', call({ operation_id: 'saveDocumnt' }));
    expectProblem(unknown, 422, 'definition_invalid');
    const message =
      "of the action 'save': the service 'archive' has no operation 'saveDocumnt' (did you mean 'saveDocument'?)";
    expect(unknown.body).toMatchObject({ errors: [{ path: 'actions.0.config.operation_id', message }] });
    expectProblem(
      await api.put(`/workflows/${workflow}`, { actions: call({ operation_id: 'gone' }).actions }),
      422,
      'definition_invalid',
    );
    for (const beside of [{ endpoint: '/x' }, { method: 'GET' }, { service: undefined, url: service.url }]) {
      const both = await api.post('/workflows', call({ operation_id: 'saveDocument', ...beside }));
      expectProblem(both, 422, 'definition_invalid');
    }
    const late = await api.run({ ...call({ operation_id: '{{title}}' }) }, { title: 'nothing' });
    expect(taskOf(late, 'save').error).toMatchObject({
      code: 'input_invalid',
      message: "the service 'archive' has no operation 'nothing'",
    });
    const silent = await api.run(call({ service: 'silent', operation_id: 'anything' }));
    expect(taskOf(silent, 'save').error).toMatchObject({
      code: 'input_invalid',
      message: expect.stringContaining('no OpenAPI document is known'),
    });
    expect(calls()).toHaveLength(1);

    // A schedule polls too, and what runs after that goes by the new document.
    document = second;
    const schedule = {
      name: 'hourly',
      workflow_id: 'system:poll_openapi',
      interval_seconds: 3_600,
      parameters: { services: ['archive'] },
    };
    const { schedule_id: id } = accepted(await api.post('/schedules', schedule), 201).body as { schedule_id: string };
    const { execution_id: polled } = accepted(await api.post(`/schedules/${id}/trigger`), 202).body as {
      execution_id: string;
    };
    expect((await api.finished(polled)).status).toBe('completed');
    accepted(await api.send('DELETE', `/schedules/${id}`), 204);
    expect(await execute({})).toMatchObject(refused('parameters.title: must NOT have fewer than 3 characters'));
    expect(await execute({ title: 'Tom' })).toMatchObject({ status: 'completed' });
    document = documentOf({});
    accepted(await api.post('/registry/poll-openapi', { services: ['archive'] }), 200);
    expect(await execute({ title: 'Tom' })).toMatchObject(
      refused("the service 'archive' has no operation 'saveDocument'"),
    );
    expect(calls()).toHaveLength(2);
  });
});
