/** Services opened by tenants: what a tenant registers gets its outbound policy, when it is registered and at each use. */
import { networkInterfaces } from 'node:os';
import { describe, expect } from 'vitest';
import { accepted, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { hmacToken, SECRET } from '../support/tokens.ts';

const IN_AN_HOUR = Math.floor(Date.now() / 1_000) + 3_600;
const of = (tenant_id: string) => ({
  authorization: `Bearer ${hmacToken({ exp: IN_AN_HOUR, sub: 'eve', tenant_id, roles: ['editor'] })}`,
});
const DOORS = ['base_url', 'openapi_url'];
const CHECK = { path: '/health', interval_seconds: 1, timeout_seconds: 1, unhealthy_threshold: 1 };

// Where requests may go is decided before any queue is asked.
const [onOne] = onBothBackends({
  environment: {
    HOST: '0.0.0.0',
    JWT_SECRET: SECRET,
    DOC_STORE_URL: 'http://127.0.0.1:9/base',
    EGRESS_TENANTS: JSON.stringify({
      allowed: { allow: ['127.0.0.0/8', '10.0.0.0/24:9200'] },
      local: { policy: 'internal' },
    }),
  },
});

describe.each([onOne].flatMap((one) => one ?? []))('services opened by tenants on $backend', ({ test }) => {
  test('a private address, an own store or listener, and metadata are refused at registration, each with its field', async ({
    api,
    stack,
    db,
  }) => {
    const postgres = new URL(stack.databaseUrl);
    const own = [
      new URL(api.url).port,
      postgres.port,
      ...(stack.redisUrl === undefined ? [] : [new URL(stack.redisUrl).port]),
    ];
    const here = Object.values(networkInterfaces()).flatMap((found) =>
      (found ?? []).map(({ address, family }) => (family === 'IPv6' ? `[${address.split('%')[0]}]` : address)),
    );
    const always = [
      'http://169.254.169.254',
      'http://metadata.google.internal',
      ...own.flatMap((port) =>
        ['localhost', '127.0.0.9', '[::ffff:127.0.0.1]', ...here].map((host) => `http://${host}:${port}`),
      ),
    ];
    const register = (url: string, as: string, name: string) =>
      api.post('/registry/register', { name: 'inside', base_url: 'http://8.8.8.8', [name]: url }, of(as));
    for (const tenant of ['acme', 'allowed', 'local']) {
      for (const url of tenant === 'acme' ? [...always, 'http://10.0.0.7:9200', 'http://localhost:9'] : always) {
        for (const name of DOORS) {
          const answer = await register(url, tenant, name);
          expectProblem(answer, 403, 'egress_denied');
          expect(answer.body).toMatchObject({
            errors: [{ path: name, message: expect.stringContaining(new URL(url).host) }],
          });
        }
      }
    }
    expect((await db.query('SELECT name FROM service')).rows).toEqual([]);
    expect((await db.query('SELECT name FROM service_instance')).rows).toEqual([]);
    // What the system allows to one tenant opens nothing to another.
    accepted(await register('http://10.0.0.7:9200', 'allowed', 'base_url'), 200);
    expectProblem(await register('http://10.0.0.7:9300', 'allowed', 'base_url'), 403, 'egress_denied');
    accepted(await register('http://no-such-host.invalid:8080', 'acme', 'base_url'), 200);
    await db.query('DELETE FROM service');
  });

  test('an address that is registered is checked again at every call, poll and health check; one of the configuration is let through', async ({
    api,
    db,
    service,
  }) => {
    const acme = openClient(api.url, of('acme'));
    const allowed = openClient(api.url, of('allowed'));
    // It was public when it was registered, or a peer told of it.
    const plant = { name: 'moved', base_url: 'http://8.8.8.8', health_check: CHECK };
    for (const tenant of [acme, allowed]) accepted(await tenant.post('/registry/register', plant), 200);
    for (const table of ['service', 'service_instance'])
      await db.query(`UPDATE ${table} SET base_url = $1`, [service.url]);
    await db.query(`SELECT pg_notify('service_changed', '')`);
    const call = {
      name: 'call',
      actions: [{ action_id: 'call', action_type: 'service_call', config: { service: 'moved', endpoint: '/data' } }],
    };
    const denied = { code: 'egress_denied', message: expect.stringContaining('refuses') };
    expect(await acme.run(call)).toMatchObject({ status: 'failed', tasks: [{ attempts: 1, error: denied }] });
    const polled = accepted(await acme.post('/registry/poll-openapi', { services: ['moved'] }), 200);
    expect(polled.body).toMatchObject({ results: [{ service: 'moved', error: denied.message }] });
    await until(async () => {
      const { rows } = await db.query<{ last_error: string | null }>(
        `SELECT last_error FROM service_instance WHERE tenant_id = 'acme'`,
      );
      return rows[0]?.last_error?.includes('refuses') === true;
    });
    expect(service.calls.filter(({ path }) => path !== '/health')).toEqual([]);
    expect(await allowed.run(call)).toMatchObject({ status: 'completed' });
    expect(service.calls.filter(({ path }) => path !== '/health')).toMatchObject([{ path: '/data' }]);
    const configured = {
      ...call,
      actions: [{ ...call.actions[0], config: { service: 'doc_store', endpoint: '/x' }, retry: { max_attempts: 1 } }],
    };
    // Nobody listens there: it was let through.
    expect(await acme.run(configured)).toMatchObject({ tasks: [{ error: { code: 'network_error' } }] });
  });
});
