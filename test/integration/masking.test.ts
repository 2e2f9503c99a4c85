/** No secret is kept, shown or sent anywhere but where it belongs, in whatever spelling a service gives it back. */
import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import type { Call, Reply } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { dumpStores, type Everything, placesOf } from '../support/everything.ts';
import { onBothBackends } from '../support/fixtures.ts';

/** With what each encoding spells in a way of its own; a header takes no more than this. */
const KEPT = 'tb"l\\e/+&<k3y>?=secret 0001';
const BOUND = 'bound-to-one-host-secret-0002';
const OF_INSTALLATION = 'of-the-installation-secret-0003';
const PEM = '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n';
/** Not secret: what it is found in proves that the search would find a secret there. */
const PLAIN = 'planted-in-plain-0004';

const [onRedis] = onBothBackends({
  environment: {
    SECRETS_KEY: randomBytes(32).toString('base64'),
    SECRET_INSTALLED: OF_INSTALLATION,
    WEBHOOK_SECRET: 'signs-the-callbacks-secret-0005',
    EVENTS_STREAM: 'told',
  },
});

/** Written here once more, so that what the service itself knows of spellings is not believed. */
function spellings(secret: string): string[] {
  const encoded = encodeURIComponent(secret);
  const around = ['', 'x', 'xy'].map((before) => Buffer.from(`${before}${secret}`).toString('base64'));
  return [
    secret,
    encoded,
    new URLSearchParams({ a: secret }).toString().slice(2),
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1),
    Buffer.from(secret).toString('hex'),
    Buffer.from(secret).toString('hex').toUpperCase(),
    // Without what belongs to the neighbours, at both ends.
    ...around.map((text, at) => text.slice([0, 2, 3][at], -4)),
    ...around.map((text, at) => text.slice([0, 2, 3][at], -4).replaceAll('+', '-').replaceAll('/', '_')),
    // A piece of it is too much as well.
    secret.slice(0, 12),
    secret.slice(-12),
  ];
}
const FORBIDDEN = [KEPT, BOUND, OF_INSTALLATION, ...PEM.split('\n').slice(1, 2)].flatMap(spellings);

const textOf = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value ?? ''));

/** Gives back what it was sent, in every way that comes to mind. */
function echoing(call: Call): Reply {
  const said = [call.headers['x-token'], call.headers['authorization'], call.query['token'], call.body]
    .filter((value) => value !== undefined)
    .map((value) => (typeof value === 'string' ? value : textOf((value as { key?: unknown }).key)))
    .filter((value) => value !== '');
  const [token = '', ...more] = said;
  const echo = {
    [token]: 'as a key',
    nested: { list: said.map((text) => `before ${text} after`) },
    basic: Buffer.from(`user:${token}`).toString('base64'),
    shifted: ['', 'x', 'xy'].map((before) => Buffer.from(`${before}${token} after`).toString('base64url')),
    url: `http://example.org/?token=${encodeURIComponent(token)}&form=${new URLSearchParams({ a: token })}`,
    hex: more.concat(token).map((text) => Buffer.from(text).toString('hex')),
    json: JSON.stringify(JSON.stringify({ token })),
  };
  // The excerpt that becomes a message ends within the secret.
  const cut = `${'.'.repeat(1_990)}${token} and so on`;
  if (call.path.endsWith('/refused')) return { status: 400, body: `refused: ${token} ${JSON.stringify(echo)}` };
  if (call.path.endsWith('/cut')) return { status: 422, body: cut };
  if (call.path.endsWith('/broken')) return { status: 503, body: echo };
  if (call.path.endsWith('/garbage')) return { headers: { 'x-said': encodeURIComponent(token) }, body: `{${token}` };
  if (call.path.endsWith('/away'))
    return {
      status: 302,
      headers: { location: `http://127.0.0.1:1/${encodeURIComponent(token)}?token=${encodeURIComponent(token)}` },
    };
  return { headers: { 'x-said': token, 'x-said-twice': Buffer.from(token).toString('base64') }, body: echo };
}

describe('secrets', () => {
  onRedis?.test(
    'are nowhere but where they were sent to, and a search would find them',
    async ({ api, stack, service, db }) => {
      service.answer(echoing);
      const host = new URL(service.url).host;
      const put = async (name: string, body: object) => {
        const { status, text } = await api.put(`/secrets/${name}`, body);
        expect(status, text).toBeLessThan(300);
      };
      await put('KEPT', { value: KEPT, description: 'of a tenant' });
      await put('PEM', { value: PEM });
      await put('BOUND', { value: BOUND, hosts: [host] });
      expect((await api.post('/webhooks', { url: `${service.url}/hook`, events: ['*'] })).status).toBe(201);

      const call = (id: string, path: string, config: object = {}, more: object = {}) => ({
        action_id: id,
        action_type: 'http_request',
        on_failure: 'continue',
        config: { url: `${service.url}${path}`, headers: { 'x-token': '{{secrets.KEPT}}' }, ...config },
        retry: { max_attempts: 2, initial_delay_seconds: 0, max_delay_seconds: 0 },
        ...more,
      });
      const query = { token: '{{secrets.KEPT}}' };
      const actions = [
        call('echo', '/echo', { query, json: { key: '{{secrets.PEM}}' } }),
        call('bound', '/echo', { headers: { Authorization: 'Bearer {{secrets.BOUND}} {{secrets.INSTALLED}}' } }),
        call('plain', '/echo', { headers: { 'x-token': PLAIN } }),
        ...['refused', 'cut', 'broken', 'garbage', 'away'].map((path) =>
          call(path, `/${path}`, { query, expect: path === 'garbage' ? 'json' : undefined }),
        ),
        call('no_host', '', { url: 'http://{{secrets.KEPT}}/' }),
        call('no_header', '', { headers: { '{{secrets.KEPT}}': 'x', 'x y': '{{secrets.KEPT}}' }, url: service.url }),
        call('elsewhere', '', { url: 'http://{{secrets.BOUND}}.invalid/{{secrets.BOUND}}' }),
        {
          ...call('says', ''),
          action_type: 'test_fault',
          config: { tell: 'a {{secrets.KEPT}} b {{secrets.INSTALLED}} c' },
        },
        { ...call('alone', ''), action_type: 'test_fault_isolated', config: { tell: '{{secrets.KEPT}}' } },
        {
          ...call('log', ''),
          action_type: 'notification',
          config: { message: `{{secrets.KEPT}} ${PLAIN}`, title: '{{secrets.PEM}}' },
        },
        { ...call('after', '/echo', { json: { key: '{{echo.body}}' }, headers: {} }), depends_on: ['echo'] },
      ];
      const workflowId = await api.createWorkflow({ name: 'masked', actions });
      const run = await api.execute(workflowId, {
        parameters: { marker: PLAIN },
        callback_url: `${service.url}/callback`,
      });
      const ended = await api.finished(run);
      const states = Object.fromEntries(ended.tasks.map(({ action_id, status }) => [action_id, status]));
      const codes = Object.fromEntries(
        ended.tasks.map(({ action_id, error }) => [action_id, (error as { code?: string } | null)?.code]),
      );
      expect(states).toMatchObject({
        echo: 'completed',
        bound: 'completed',
        plain: 'completed',
        log: 'completed',
        after: 'completed',
      });
      expect(codes).toMatchObject({
        refused: 'upstream_rejected',
        cut: 'upstream_rejected',
        broken: 'upstream_error',
        garbage: 'upstream_error',
        away: 'network_error',
        elsewhere: 'secret_not_allowed',
      });
      const sent = service.calls.filter(({ path }) => path === '/echo');
      expect(sent).toContainEqual(
        expect.objectContaining({ headers: expect.objectContaining({ 'x-token': KEPT }), body: { key: PEM } }),
      );
      expect(service.calls.some(({ headers }) => headers.authorization === `Bearer ${BOUND} ${OF_INSTALLATION}`)).toBe(
        true,
      );

      const told = () => service.calls.filter(({ path }) => path === '/hook' || path === '/callback');
      await until(
        async () =>
          told().some(({ path }) => path === '/callback') &&
          told().some(({ body }) => JSON.stringify(body).includes('run.completed')),
        {
          what: 'the webhook and the callback have been called',
        },
      );
      const { rows: traces } = await db.query<{ trace_id: string }>('SELECT trace_id FROM run WHERE id = $1', [run]);
      await until(async () => (await db.query('SELECT FROM call_span')).rows.length > 5, {
        what: 'the calls are in the trace',
      });

      const everything: Everything = await dumpStores(stack);
      everything.set(
        'log',
        stack.log.lines
          .map((line) =>
            JSON.stringify(line, (_key, value: unknown) =>
              value instanceof Error ? `${value.stack} ${String(value.cause)}` : value,
            ),
          )
          .join('\n'),
      );
      everything.set('told', JSON.stringify(told()));
      const answers = [
        `/workflows/executions/${run}`,
        `/workflows/executions/${run}/events`,
        `/workflows/${workflowId}/executions`,
        `/workflows/${workflowId}`,
        '/workflows/history',
        `/result/${run}`,
        `/infrastructure/events/history`,
        `/infrastructure/tracing/trace/${traces[0]?.trace_id}`,
        '/infrastructure/dlq',
        '/webhooks',
        '/secrets',
        '/secrets/KEPT',
        '/config/effective',
        '/metrics',
        '/workflows/health',
      ];
      for (const path of answers) {
        const { status, text } = await api.get(path);
        expect.soft(status, path).toBe(200);
        everything.set(`GET ${path}`, text);
      }

      expect.soft(placesOf(everything, FORBIDDEN)).toEqual([]);
      // What would be found is found: in each kind of place one that is not secret.
      const found = placesOf(everything, [PLAIN]).map((place) => place.split(':')[0]);
      expect(found).toEqual(
        expect.arrayContaining(['public.run', 'public.task', 'log', `GET /workflows/executions/${run}`]),
      );
      expect(placesOf(everything, [run]).some((place) => place.startsWith('redis '))).toBe(true);
      expect(placesOf(new Map([['a', `x ${Buffer.from(`user:${KEPT}`).toString('base64')}`]]), FORBIDDEN)).not.toEqual(
        [],
      );
      expect(everything.get('public.secret')).toMatch(/KEPT.*enc:v1:/);
      expect(everything.get('GET /secrets')).toContain('KEPT');
      expect(ended.tasks.find(({ action_id }) => action_id === 'echo')?.input).toMatchObject({
        headers: { 'x-token': '***' },
      });
    },
  );

  onRedis?.test('are kept, changed, bound, shown without values and forgotten', async ({ api, service, db }) => {
    await api.send('DELETE', '/secrets/LIFE');
    const missing = await api.get('/secrets/LIFE');
    expect(missing).toMatchObject({ status: 404, body: { detail: 'Secret not found' } });
    const created = await api.put('/secrets/LIFE', { value: 'value one', hosts: ['a.test', '*.b.test:8443'] });
    expect(created).toMatchObject({
      status: 201,
      body: { name: 'LIFE', version: 1, hosts: ['a.test', '*.b.test:8443'] },
    });
    expect(created.text).not.toContain('value one');
    expect(created.headers.get('location')).toBe('/secrets/LIFE');
    // Another value alone leaves it bound.
    expect(await api.put('/secrets/LIFE', { value: 'value two' })).toMatchObject({
      status: 200,
      body: { version: 2, hosts: ['a.test', '*.b.test:8443'] },
    });
    const bad = await api.put('/secrets/LIFE', { value: '', hosts: ['https://a.test/'], more: 1 });
    expect(bad.status).toBe(400);
    expect((bad.body as { errors: Array<{ path: string }> }).errors.map(({ path }) => path).sort()).toEqual([
      'hosts.0',
      'more',
      'value',
    ]);
    expect(await api.put('/secrets/1ST', { value: 'x' })).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'name' }] },
    });
    const other = { 'x-tenant-id': 'another' };
    expect((await api.get('/secrets/LIFE', other)).status).toBe(404);
    expect((await api.send('DELETE', '/secrets/LIFE', undefined, other)).status).toBe(404);
    expect((await api.get('/secrets', other)).body).toMatchObject({ items: [], total: 0 });

    const using = (name: string) => ({
      name: 'uses',
      actions: [
        {
          action_id: 'a',
          action_type: 'http_request',
          config: { url: service.url, headers: { 'x-token': `{{secrets.${name}}}` } },
        },
      ],
    });
    expect((await api.run(using('LIFE'))).tasks[0]).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'secret_not_allowed' },
    });
    await api.put('/secrets/LIFE', { value: 'value three', hosts: null });
    expect((await api.run(using('LIFE'))).status).toBe('completed');
    expect(service.calls.at(-1)?.headers['x-token']).toBe('value three');
    // Bound again: of a redirect only the host that may have it hears.
    const second = service.url.replace('127.0.0.1', 'localhost');
    await api.put('/secrets/LIFE', { value: 'value four', hosts: [new URL(service.url).host] });
    service.answer((call) =>
      call.path === '/' ? { status: 302, headers: { location: `${second}/other` } } : { body: {} },
    );
    expect((await api.run(using('LIFE'))).tasks[0]).toMatchObject({ error: { code: 'secret_not_allowed' } });
    expect(service.calls.some(({ path }) => path === '/other')).toBe(false);

    expect((await api.send('DELETE', '/secrets/LIFE')).status).toBe(204);
    expect((await api.run(using('LIFE'))).tasks[0]).toMatchObject({
      attempts: 1,
      error: { code: 'secret_unknown', message: expect.stringContaining("'LIFE'") },
    });
    // An envelope that somebody moved to another tenant is worth nothing there.
    await api.put('/secrets/MINE', { value: 'mine alone' });
    await db.query(
      `INSERT INTO secret SELECT 'another', name, version, envelope, hosts, description, created_by, updated_by FROM secret WHERE tenant_id = 'default' AND name = 'MINE' ON CONFLICT DO NOTHING`,
    );
    const theirs = await api.post('/workflows', using('MINE'), other);
    const id = await api.execute((theirs.body as { workflow_id: string }).workflow_id, {}, other);
    const result = await api.get(`/workflows/executions/${id}?wait=20`, other);
    await until(
      async () => (await api.get(`/workflows/executions/${id}`, other)).text.includes('unreadable_envelope'),
      { what: result.text },
    );
  });

  onRedis?.test('cannot be named where something is compared, kept or shown', async ({ api }) => {
    const secret = '{{secrets.KEY}}';
    const echo = { action_id: 'a', action_type: 'test_task', config: {} };
    const refused: Array<[path: string, definition: object]> = [
      [
        'actions.0.config',
        { actions: [{ ...echo, action_type: 'transform', config: { output: '1', input: secret } }] },
      ],
      [
        'actions.0.config',
        { actions: [{ ...echo, action_type: 'workflow', config: { workflow_id: 'x', parameters: { a: secret } } }] },
      ],
      ['actions.0.config', { actions: [{ ...echo, action_type: 'approval', config: { message: secret } }] }],
      ['actions.0.config', { actions: [{ ...echo, action_type: 'external', config: { topic: 't', input: secret } }] }],
      ['actions.0.config', { actions: [{ ...echo, action_type: 'store_document', config: { content: secret } }] }],
      ['actions.0.for_each', { actions: [{ ...echo, for_each: { items: [secret] } }] }],
      ['actions.0.cache', { actions: [{ ...echo, cache: { key: secret, ttl_seconds: 1 } }] }],
      [
        'actions.0.compensate',
        { actions: [{ ...echo, compensate: { action_type: 'external', config: { topic: 't', input: secret } } }] },
      ],
      ['actions.0.when', { actions: [{ ...echo, when: 'secrets.KEY == "x"' }] }],
      ['output', { actions: [echo], output: { a: secret } }],
      ['dedupe', { actions: [echo], dedupe: { key: secret, window_seconds: 1 } }],
      ['concurrency', { actions: [echo], concurrency: { key: secret, limit: 1 } }],
      ['triggers.0', { actions: [echo], triggers: [{ event: 'e', parameters: { a: secret } }] }],
    ];
    for (const [path, definition] of refused) {
      const answer = await api.post('/workflows', { name: 'refused', ...definition });
      expect(answer.status, `${path} ${answer.text}`).toBe(422);
      const { errors } = answer.body as { errors: Array<{ path: string; message: string }> };
      expect(
        errors.some((fault) => fault.path.startsWith(path) && /secret/.test(fault.message)),
        answer.text,
      ).toBe(true);
    }
  });
});
