/** An identity service beside a running service: whom its tokens let in, for how long, and that no token is stored. */
import { describe, expect } from 'vitest';
import { type Client, list, openClient } from '../harness/client/client.ts';
import type { Environment } from '../harness/processes/process.ts';
import { AWAY, faultyAnswers } from '../harness/services/faulty-answers.ts';
import { startIdentityService, verified } from '../harness/services/identity-service.ts';
import { until } from '../harness/until.ts';
import { allRows } from '../support/all-rows.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { hmacToken, SECRET } from '../support/tokens.ts';

const KEY = 'the-key-of-the-configuration';
const TASK = { task_type: 'test_task' };
const TOKEN = 'opaque-token-of-anna-0123456789abcdef';
const WRONG = 'opaque-token-of-nobody-0123456789abcdef';
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

const service = await startIdentityService();
service.tokens.set(TOKEN, verified());
const environment = {
  ...{ IDENTITY_SERVICE_URL: `${service.url}/v1`, IDENTITY_TIMEOUT_MS: '20000', API_KEY: KEY, JWT_SECRET: SECRET },
  ...{ EGRESS_POLICY: 'none', HOST: '127.0.0.1', METRICS_TOKEN: 'the-token-of-the-scraper' },
};

async function withApi<T>(stack: Stack, settings: Environment, work: (api: Client) => Promise<T>): Promise<T> {
  const { port, stop } = await stack.add('api', settings);
  service.calls.length = 0;
  service.behave();
  try {
    return await work(openClient(`http://127.0.0.1:${port}`));
  } finally {
    await stop();
  }
}

async function run(api: Client, headers: Record<string, string>): Promise<string> {
  const { task_id: id } = (await api.post('/assign-task', TASK, headers)).body as { task_id: string };
  await api.get(`/result/${id}?wait=20`, headers);
  return id;
}

const backends = onBothBackends({ environment }).filter(({ backend }) => backend === 'postgres');
describe.each(backends)('an identity service on $backend', ({ test }) => {
  test('lets in whom its token stands for, with the roles of that one, in that tenant', async ({ api, db }) => {
    const id = await run(api, bearer(TOKEN));
    expect((await api.get('/auth/me', bearer(TOKEN))).body).toMatchObject({
      ...{ user_id: 'anna', tenant_id: 'acme', means: 'identity', roles: ['editor'] },
    });
    expect(list(await api.get('/executions', bearer(TOKEN)), 'executions')).toMatchObject([
      { execution_id: id, user_id: 'anna', tenant_id: 'acme' },
    ]);
    expectProblem(await api.get('/secrets/x/y', bearer(TOKEN)), 404, 'not_found');
    expectProblem(await api.put('/secrets/TOKEN', { value: 'x' }, bearer(TOKEN)), 403, 'forbidden');
    // Headers say nothing beside a token.
    expectProblem(await api.get(`/result/${id}`, { 'x-api-key': KEY, 'x-tenant-id': 'acme' }), 404, 'not_found');
    expect(service.calls).toMatchObject([
      { method: 'POST', path: '/v1/tokens/verify', body: { token: TOKEN, required_capabilities: [] } },
    ]);
    await until(async () => {
      const { rows } = await db.query(
        `SELECT credential FROM audit_entry WHERE means = 'identity' AND action = 'assignTask' AND tenant_id = 'acme'`,
      );
      return rows[0]?.credential === 'identity, sub anna, jti token-1';
    });
  });

  test('is asked about no key, and about no token that JWT_SECRET verifies; without credentials nobody comes in', async ({
    stack,
  }) => {
    await withApi(stack, {}, async (api) => {
      const claims = { exp: Math.floor(Date.now() / 1_000) + 600, sub: 'bert', tenant_id: 'inc', roles: ['admin'] };
      const made = await api.post('/api-keys', { name: 'k', roles: ['viewer'] }, bearer(hmacToken(claims)));
      const { key } = made.body as { key: string };
      for (const headers of [
        { 'x-api-key': KEY },
        bearer(KEY),
        { 'x-api-key': key },
        bearer(key),
        bearer(hmacToken(claims)),
      ]) {
        expect((await api.get('/workflows', headers)).status).toBe(200);
      }
      expectProblem(await api.get('/workflows'), 401, 'unauthorized');
      expectProblem(await api.get('/workflows', { 'x-api-key': TOKEN }), 401, 'unauthorized');
      expectProblem(await api.get('/workflows', { ...bearer(TOKEN), 'x-api-key': KEY }), 401, 'unauthorized');
      expect(service.calls).toEqual([]);

      service.calls.length = 0;
      const expired = hmacToken({ ...claims, exp: claims.exp - 3_600 });
      service.tokens.set(expired, verified({ user_id: 'bert', tenant_id: 'inc' }));
      expect((await api.get('/auth/me', bearer(expired))).body).toMatchObject({ user_id: 'bert', means: 'identity' });
      expect(service.calls).toHaveLength(1);
    });
  });

  test('is asked once for as long as its answer is cached, and a revoked token is 401 then', async ({ stack }) => {
    const token = 'a-token-that-is-revoked-0123456789';
    await withApi(stack, {}, async (api) => {
      service.tokens.set(token, verified());
      const answers = await Promise.all(Array.from({ length: 20 }, () => api.get('/workflows', bearer(token))));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      expect(service.calls).toHaveLength(1);
      service.tokens.delete(token);
      // It is believed for half a minute.
      expect((await api.get('/workflows', bearer(token))).status).toBe(200);
    });
    await withApi(stack, { IDENTITY_CACHE_SECONDS: '1' }, async (api) => {
      service.tokens.set(token, verified());
      expect((await api.get('/workflows', bearer(token))).status).toBe(200);
      service.tokens.delete(token);
      await until(async () => (await api.get('/workflows', bearer(token))).status === 401);
    });
    await withApi(stack, { IDENTITY_CACHE_SECONDS: '0' }, async (api) => {
      service.tokens.set(token, verified());
      for (const status of [200, 200]) expect((await api.get('/workflows', bearer(token))).status).toBe(status);
      service.tokens.delete(token);
      expectProblem(await api.get('/workflows', bearer(token)), 401, 'unauthorized');
      expect(service.calls).toHaveLength(3);
    });
  });

  test.for(Object.entries(faultyAnswers(verified())))(
    'that %s lets nobody in, with 503',
    async ([fault, answer], { stack, db }) => {
      const settings: Environment = fault === 'never answers' ? { IDENTITY_TIMEOUT_MS: '200' } : {};
      await withApi(stack, settings, async (api) => {
        service.answer(answer);
        const before = await allRows(db);
        for (let count = 1; count <= 2; count += 1) {
          const rejected = await api.post('/assign-task', TASK, bearer(TOKEN));
          expectProblem(rejected, 503, 'unavailable');
          expect(Number(rejected.headers.get('retry-after'))).toBeGreaterThan(0);
          // No answer is cached.
          expect(service.calls).toHaveLength(count);
        }
        expect(await allRows(db)).toEqual(before);
        expect((await api.get('/workflows', { 'x-api-key': KEY })).status).toBe(200);
      });
    },
  );

  test('that is away, or redirects to one that knows the token, lets nobody in', async ({ stack }) => {
    const other = await startIdentityService();
    other.tokens.set(TOKEN, verified({ roles: ['admin'] }));
    try {
      // Its tasks may call anything.
      await withApi(stack, { EGRESS_POLICY: 'internal' }, async (api) => {
        for (const status of [302, 307]) {
          service.answer(() => ({ status, headers: { location: `${other.url}/v1/tokens/verify` } }));
          expectProblem(await api.get('/workflows', bearer(TOKEN)), 503, 'unavailable');
        }
        expect(other.calls).toEqual([]);
      });
    } finally {
      await other.close();
    }
    await withApi(stack, { IDENTITY_SERVICE_URL: AWAY }, async (api) => {
      expectProblem(await api.get('/workflows', bearer(TOKEN)), 503, 'unavailable');
      expect((await api.get('/workflows', bearer(KEY))).status).toBe(200);
    });
  });

  test('has its tokens open /metrics of a worker too', async ({ stack }) => {
    const { port, stop } = await stack.add('worker');
    try {
      const worker = openClient(`http://127.0.0.1:${port}`);
      service.behave();
      expect((await worker.get('/metrics', bearer(TOKEN))).status).toBe(200);
      expect((await worker.get('/metrics', bearer(WRONG))).status).toBe(401);
    } finally {
      await stop();
    }
  });

  test('has no token of its in a table, in the log or in an answer, whatever it does with it', async ({
    stack,
    db,
  }) => {
    await withApi(stack, { IDENTITY_CACHE_SECONDS: '0' }, async (api) => {
      const answers = [await api.get('/auth/me', bearer(TOKEN)), await api.get('/workflows', bearer(WRONG))];
      expect(answers.map(({ status }) => status)).toEqual([200, 401]);
      await run(api, bearer(TOKEN));
      for (const field of ['user_id', 'tenant_id', 'jti']) {
        service.answer(() => ({ body: verified({ [field]: TOKEN }) }));
        answers.push(await api.post('/assign-task', TASK, bearer(TOKEN)));
      }
      service.answer(() => ({ status: 500, body: { detail: `cannot look up ${TOKEN}` } }));
      answers.push(await api.post('/assign-task', TASK, bearer(TOKEN)));
      expect(answers.slice(2).map(({ status }) => status)).toEqual([503, 503, 503, 503]);
      // What was denied is written behind the answers.
      await until(async () => {
        const { rows } = await db.query(`SELECT 1 FROM audit_entry WHERE status = 503 OR status = 401`);
        return rows.length > 0;
      });
      const texts = JSON.stringify([
        await allRows(db, { all: true }),
        stack.log.lines,
        answers.map(({ text }) => text),
      ]);
      for (const token of [TOKEN, WRONG]) {
        expect(texts).not.toContain(token);
        expect(texts).not.toContain(Buffer.from(token).toString('base64').slice(0, 24));
      }
    });
  });
});
