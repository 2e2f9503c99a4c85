/** The registry of services through its doors. */
import { describe, expect } from 'vitest';
import { createServiceCheckStore } from '../../src/features/services/check-store.ts';
import { createCircuitStore } from '../../src/features/services/circuit-store.ts';
import { createGoneServices } from '../../src/features/services/gone-services.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

const ANOTHER = { 'x-tenant-id': 'another' };
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const DEFAULTS = {
  health_check: null,
  load_balancing: 'round_robin',
  breaker: { failure_threshold: 5, recovery_timeout: 60 },
  bulkhead: 10,
  timeout_seconds: 300,
};
const NEVER_CHECKED = { last_check_at: null, latency_ms: null, last_error: null };
const FIXED = {
  name: 'doc_store',
  base_url: 'http://doc-store:5010',
  openapi_url: null,
  endpoints: [],
  metadata: {},
  status: 'unknown',
  last_heartbeat: null,
  source: 'configuration',
  origin: null,
  version: 0,
  ...DEFAULTS,
  instances: [
    {
      instance_id: 'default',
      base_url: 'http://doc-store:5010',
      weight: 1,
      ttl_seconds: null,
      status: 'unknown',
      circuit: 'closed',
      last_heartbeat: null,
      expires_at: null,
      ...NEVER_CHECKED,
    },
  ],
  registered_at: null,
  updated_at: null,
};

// No job is in it, so one backend is as good as both.
const [onOne] = onBothBackends({
  workers: 0,
  environment: {
    DOC_STORE_URL: 'http://doc-store:5010',
    SECRET_STORE_URL: 'http://user:word@secrets:1/',
    HEALTH_CHECK_INTERVAL: '30',
  },
});

describe.each([onOne].flatMap((one) => one ?? []))('the registry of services on $backend', ({ test }) => {
  test('a service is registered, replaced and forgotten by its tenant alone, and leaves a tombstone', async ({
    api,
    db,
  }) => {
    const register = (body: object, headers?: Record<string, string>) => api.post('/registry/register', body, headers);
    const first = { name: 'source_agent', base_url: 'http://a:5000/', endpoints: ['/fetch'], metadata: { team: 'x' } };
    expect(await register(first)).toMatchObject({ status: 200, body: { status: 'registered', count: 3 } });
    expect((await register(first, ANOTHER)).body).toEqual({ status: 'registered', count: 3 });
    const before = (await api.get('/registry/source_agent')).body as { version: number };
    expect(before).toMatchObject({ base_url: 'http://a:5000', metadata: { team: 'x' } });

    const again = { name: 'source_agent', base_url: 'http://b:5000', openapi_url: 'http://b:5000/openapi.json' };
    expect((await register({ ...again, breaker: { failure_threshold: 2 }, timeout_seconds: 7 })).body).toEqual({
      status: 'registered',
      count: 3,
    });
    const replaced = {
      name: 'source_agent',
      base_url: 'http://b:5000',
      openapi_url: 'http://b:5000/openapi.json',
      endpoints: [],
      metadata: {},
      status: 'unknown',
      last_heartbeat: TIME,
      source: 'registration',
      origin: null,
      version: expect.any(Number),
      ...DEFAULTS,
      breaker: { failure_threshold: 2, recovery_timeout: 60 },
      timeout_seconds: 7,
      instances: [
        {
          instance_id: 'default',
          base_url: 'http://b:5000',
          weight: 1,
          ttl_seconds: null,
          status: 'unknown',
          circuit: 'closed',
          last_heartbeat: TIME,
          expires_at: null,
          ...NEVER_CHECKED,
        },
      ],
      registered_at: TIME,
      updated_at: TIME,
    };
    const secret = 'http://secrets:1';
    const listed = (await api.get('/registry')).body;
    expect(listed).toEqual({
      services: [
        FIXED,
        { ...FIXED, name: 'secret_store', base_url: secret, instances: [{ ...FIXED.instances[0], base_url: secret }] },
        replaced,
      ],
    });
    const after = (await api.get('/registry/source_agent')).body as { version: number };
    expect(after).toEqual(replaced);
    expect(after.version).toBeGreaterThan(before.version);
    expect((await api.get('/registry/source_agent', ANOTHER)).body).toMatchObject({ base_url: 'http://a:5000' });

    expect((await api.send('DELETE', '/registry/source_agent')).status).toBe(204);
    expectProblem(await api.send('DELETE', '/registry/source_agent'), 404, 'not_found');
    const gone = await api.get('/registry/source_agent');
    expectProblem(gone, 404, 'not_found');
    expect(gone.body).toMatchObject({ detail: 'Service not found', message: 'Service not found' });
    expect((await api.get('/registry/source_agent', ANOTHER)).status).toBe(200);
    const dead = await db.query('SELECT tenant_id, name, version::float8, origin FROM service_tombstone');
    expect(dead.rows).toEqual([
      { tenant_id: 'default', name: 'source_agent', version: expect.any(Number), origin: null },
    ]);
    expect(dead.rows[0].version).toBeGreaterThan(after.version);
    expect((await db.query('SELECT tenant_id FROM service_instance')).rows).toEqual([{ tenant_id: 'another' }]);

    // It comes again, newer than its tombstone even when the clock is behind.
    await db.query('UPDATE service_tombstone SET version = 9000000000000');
    await register(first);
    expect((await api.get('/registry/source_agent')).body).toMatchObject({ version: 9_000_000_000_001 });
    expect((await db.query('SELECT 1 FROM service_tombstone')).rows).toEqual([]);
  });

  test('instances are told apart, renewed by heartbeats, and expire', async ({ api, db }) => {
    const register = (body: object) => api.post('/registry/register', { name: 'ranker', ...body });
    await register({ base_url: 'http://one', instance_id: 'one', ttl_seconds: 60, weight: 3, metadata: { a: 1 } });
    await register({ base_url: 'http://two', instance_id: 'two', load_balancing: 'least_outstanding' });
    const instances = async () => {
      const { body } = await api.get('/registry/ranker');
      return (body as { instances: object[] }).instances;
    };
    expect((await api.get('/registry/ranker')).body).toMatchObject({
      base_url: 'http://two',
      metadata: { a: 1 },
      load_balancing: 'least_outstanding',
      status: 'unknown',
    });
    const one = { instance_id: 'one', base_url: 'http://one', weight: 3, ttl_seconds: 60, ...NEVER_CHECKED };
    const two = { instance_id: 'two', base_url: 'http://two', weight: 1, ttl_seconds: null, ...NEVER_CHECKED };
    expect(await instances()).toEqual([
      { ...one, status: 'unknown', circuit: 'closed', last_heartbeat: TIME, expires_at: TIME },
      { ...two, status: 'unknown', circuit: 'closed', last_heartbeat: TIME, expires_at: null },
    ]);
    await db.query(`UPDATE service_instance SET expires_at = now() - interval '1 second' WHERE instance_id = 'one'`);
    expect(await instances()).toMatchObject([{ status: 'expired' }, { status: 'unknown' }]);
    await db.query(`UPDATE service_instance SET expires_at = now() - interval '1 second' WHERE name = 'ranker'`);
    expect((await api.get('/registry/ranker')).body).toMatchObject({ status: 'expired' });

    const beat = await api.post('/registry/heartbeat', { name: 'ranker', instance_id: 'one' });
    expect(beat).toMatchObject({
      status: 200,
      body: { status: 'ok', name: 'ranker', instance_id: 'one', expires_at: TIME },
    });
    expect((await api.post('/registry/heartbeat', { name: 'ranker', instance_id: 'two' })).body).toEqual({
      status: 'ok',
      name: 'ranker',
      instance_id: 'two',
      expires_at: null,
    });
    expect(await instances()).toMatchObject([{ status: 'unknown' }, { status: 'unknown' }]);
    for (const [body, headers] of [
      [{ name: 'ranker', instance_id: 'three' }, {}],
      [{ name: 'ranker' }, {}],
      [{ name: 'nobody' }, {}],
      [{ name: 'ranker', instance_id: 'one' }, ANOTHER],
    ] as const) {
      expectProblem(await api.post('/registry/heartbeat', body, headers), 404, 'not_found');
    }
    // Without an instance it is the whole service.
    await register({ base_url: 'http://alone' });
    expect(await instances()).toMatchObject([{ instance_id: 'default', base_url: 'http://alone' }]);
    expect((await api.get('/registry/ranker')).body).toMatchObject({ metadata: {}, load_balancing: 'round_robin' });
    await api.send('DELETE', '/registry/ranker');
  });

  test('a configured service is where the configuration says, and stays', async ({ api }) => {
    expect((await api.get('/registry/doc_store')).body).toEqual(FIXED);
    expect((await api.get('/registry/Doc-Store')).body).toEqual(FIXED);
    expectProblem(await api.send('DELETE', '/registry/doc-store'), 409, 'conflict');
    const elsewhere = await api.post('/registry/register', { name: 'doc-store', base_url: 'http://evil:1' });
    expectProblem(elsewhere, 409, 'conflict');
    expectProblem(await api.post('/registry/heartbeat', { name: 'doc_store' }), 404, 'not_found');
    expect((await api.get('/registry/doc_store')).body).toEqual(FIXED);

    const own = { name: 'Doc-Store', base_url: FIXED.base_url, endpoints: ['/documents'], ttl_seconds: 5 };
    expect((await api.post('/registry/register', own)).status).toBe(200);
    expect((await api.post('/registry/heartbeat', { name: 'Doc-Store' })).body).toEqual({
      status: 'ok',
      name: 'Doc-Store',
      instance_id: 'default',
      expires_at: null,
    });
    expect((await api.get('/registry/doc_store')).body).toEqual({
      ...FIXED,
      endpoints: ['/documents'],
      version: expect.any(Number),
      last_heartbeat: TIME,
      registered_at: TIME,
      updated_at: TIME,
      instances: [{ ...FIXED.instances[0], last_heartbeat: TIME }],
    });
  });

  test('what cannot be registered is refused, every field at once, and nothing is kept of it', async ({ api, db }) => {
    const refused = await api.post('/registry/register', {
      name: 'heartbeat',
      base_url: 'ftp://a',
      weight: 0,
      breaker: { failure_threshold: 0 },
      health_check: { path: 'health' },
      colour: 'red',
    });
    expectProblem(refused, 400, 'invalid_request');
    const paths = (refused.body as { errors: { path: string }[] }).errors.map(({ path }) => path);
    expect(paths.sort()).toEqual([
      'base_url',
      'breaker.failure_threshold',
      'colour',
      'health_check.path',
      'name',
      'weight',
    ]);
    for (const body of [
      { name: 'a', base_url: 'http://user:word@a' },
      { name: 'a', base_url: 'http://a?x=1' },
      { name: 'a/b', base_url: 'http://a' },
      { name: 'a' },
    ])
      expectProblem(await api.post('/registry/register', body), 400, 'invalid_request');

    await db.query(
      `INSERT INTO service (tenant_id, name, base_url) SELECT 'full', 's' || n, 'http://a' FROM generate_series(1, 1000) n`,
    );
    const full = { 'x-tenant-id': 'full' };
    expectProblem(await api.post('/registry/register', { name: 'more', base_url: 'http://a' }, full), 409, 'conflict');
    expect((await api.post('/registry/register', { name: 's7', base_url: 'http://b' }, full)).status).toBe(200);
    await db.query(
      `INSERT INTO service_instance (tenant_id, name, instance_id, base_url) SELECT 'full', 's7', 'i' || n, 'http://a' FROM generate_series(1, 99) n`,
    );
    const more = { name: 's7', base_url: 'http://changed', instance_id: 'more' };
    expectProblem(await api.post('/registry/register', more, full), 409, 'conflict');
    expect((await api.get('/registry/s7', full)).body).toMatchObject({ base_url: 'http://b' });
    expect((await db.query(`SELECT name FROM service WHERE tenant_id = 'default' AND name = 'a'`)).rows).toEqual([]);
  });

  test('a check is taken by one worker alone, counts in a row, and says nothing of another address', async ({
    api,
    db,
  }) => {
    const here = createServiceCheckStore(db);
    const there = createServiceCheckStore(db);
    const check = {
      path: '/up',
      interval_seconds: 30,
      timeout_seconds: 2,
      healthy_threshold: 2,
      unhealthy_threshold: 2,
    };
    const body = { name: 'looked_at', base_url: 'http://a' };
    await api.post('/registry/register', { ...body, health_check: check });
    const taken = await Promise.all([here.takeDue(10), there.takeDue(10)]);
    const due = { tenantId: 'default', name: 'looked_at', instanceId: 'default', baseUrl: 'http://a', check };
    expect(taken.flat()).toEqual([due]);
    expect(await here.takeDue(10)).toEqual([]);

    const record = (error?: string) => here.record({ of: due, error, latencyMs: 7 });
    const changes = [];
    for (const error of [undefined, 'no', undefined, undefined, 'no', undefined, 'no', 'no', 'no'])
      changes.push(await record(error));
    const unchanged = undefined;
    expect(changes).toEqual([
      ...[unchanged, unchanged, unchanged, 'healthy'],
      ...[unchanged, unchanged, unchanged, 'unhealthy', unchanged],
    ]);
    expect((await api.get('/registry/looked_at')).body).toMatchObject({
      status: 'unhealthy',
      instances: [{ latency_ms: 7, last_error: 'no', last_check_at: TIME }],
    });
    await api.post('/registry/register', { ...body, base_url: 'http://b', health_check: check });
    expect(await record('late')).toBeUndefined();
    expect((await api.get('/registry/looked_at')).body).toMatchObject({
      status: 'unknown',
      instances: [{ latency_ms: null, last_error: null, last_check_at: null }],
    });
    await api.post('/registry/register', body);
    await db.query(`UPDATE service_instance SET check_at = now() - interval '1 second' WHERE check_at IS NOT NULL`);
    expect(await here.takeDue(10)).toEqual([]);
  });

  test('what nobody renews is removed after an hour, and a service of which nothing is left leaves a tombstone', async ({
    api,
    db,
  }) => {
    const store = createServiceCheckStore(db);
    const base_url = 'http://a';
    for (const instance_id of ['one', 'two'])
      await api.post('/registry/register', { name: 'brief', base_url, instance_id, ttl_seconds: 5 });
    const over = (where: string) =>
      db.query(`UPDATE service_instance SET expires_at = now() - interval '61 minutes' WHERE ${where}`);
    const left = async () => (await db.query(`SELECT instance_id FROM service_instance WHERE name = 'brief'`)).rows;
    await store.removeGone(10);
    expect(await left()).toHaveLength(2);
    await over(`instance_id = 'one'`);
    await store.removeGone(10);
    expect(await left()).toEqual([{ instance_id: 'two' }]);
    await over(`instance_id = 'two'`);
    await store.removeGone(10);
    expectProblem(await api.get('/registry/brief'), 404, 'not_found');
    expectProblem(await api.post('/registry/heartbeat', { name: 'brief', instance_id: 'two' }), 404, 'not_found');
    const tombstones = async () => (await db.query(`SELECT origin FROM service_tombstone WHERE name = 'brief'`)).rows;
    expect(await tombstones()).toEqual([{ origin: null }]);
  });

  test('circuits of a worker that is gone are shown no more', async ({ api, db }) => {
    const circuits = createCircuitStore(db);
    const of = { tenantId: 'default', name: 'doc_store', instanceId: 'default' };
    await circuits.write('one', [{ ...of, state: 'open' }]);
    await circuits.write('two', [{ ...of, state: 'half_open' }]);
    const shown = async () => {
      const { body } = await api.get('/registry/doc_store');
      return (body as { instances: Array<{ circuit: string }> }).instances.map(({ circuit }) => circuit);
    };
    expect(await shown()).toEqual(['open']);
    expect((await api.get('/workflows/health')).body).toMatchObject({
      circuits: [
        { service: 'doc_store', instance_id: 'default', worker: 'one', state: 'open', since: TIME },
        { service: 'doc_store', instance_id: 'default', worker: 'two', state: 'half_open', since: TIME },
      ],
    });
    await circuits.write('one', [{ ...of, state: 'closed' }]);
    expect(await shown()).toEqual(['half_open']);
    await db.query(`UPDATE service_circuit SET since = now() - interval '2 hours'`);
    expect(await shown()).toEqual(['closed']);
    await createGoneServices(db, { peers: [], configured: ['doc_store'] }).removeExpired(10);
    expect((await db.query('SELECT 1 FROM service_circuit')).rows).toEqual([]);
    await circuits.write('two', [{ ...of, state: 'open' }]);
    await circuits.clear('two');
    expect(await shown()).toEqual(['closed']);
  });

  test('a health check is made as often as the configuration says, unless the service says how often', async ({
    api,
  }) => {
    const of = async (name: string, health_check: object) => {
      expect((await api.post('/registry/register', { name, base_url: 'http://a', health_check })).status).toBe(200);
      return (await api.get(`/registry/${name}`)).body;
    };
    expect(await of('silent', { path: '/live' })).toMatchObject({
      health_check: { path: '/live', interval_seconds: 30, timeout_seconds: 2 },
    });
    expect(await of('own', { interval_seconds: 5 })).toMatchObject({ health_check: { interval_seconds: 5 } });
  });
});
