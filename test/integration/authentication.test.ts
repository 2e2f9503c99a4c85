/** Who is let in by a running service: tokens of a secret and of a provider, and keys that tenants make. */
import { describe, expect } from 'vitest';
import { createLoginSessions, createSessionDirectory } from '../../src/features/access/login-session-store.ts';
import { type Client, list, openClient } from '../harness/client/client.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { hmacToken, type Json, jwkOf, makeKeys, SECRET, signedToken } from '../support/tokens.ts';

const KEY = 'the-key-of-the-configuration';
const ISSUER = 'https://id.example';
const CLAIMS = { iss: ISSUER, aud: 'orchestrator', exp: Math.floor(Date.now() / 1_000) + 3_600 };
const bearer = (text: string) => ({ authorization: `Bearer ${text}` });
const of = (tenant_id: string, sub: string, ...roles: string[]) =>
  bearer(hmacToken({ ...CLAIMS, tenant_id, sub, roles }));

const provider = await startService();
const { publicKey, privateKey } = makeKeys.rsa();
provider.answer(() => ({ body: { keys: [jwkOf(publicKey, { kid: 'one', alg: 'RS256' })] } }));
const environment = {
  API_KEY: KEY,
  JWT_SECRET: SECRET,
  JWKS_URL: `${provider.url}/keys`,
  JWT_ISSUER: ISSUER,
  JWT_AUDIENCE: 'orchestrator',
  METRICS_TOKEN: 'the-token-of-the-scraper',
  HOST: '127.0.0.1',
};

describe.each(onBothBackends({ environment }).filter(({ backend }) => backend === 'postgres'))(
  'authentication on $backend',
  ({ test }) => {
    test('a token of the provider, checked with the keys that it publishes, runs what its roles allow in its tenant', async ({
      api,
    }) => {
      const token = (more: Json) =>
        signedToken({ ...CLAIMS, sub: 'bert', ...more }, { alg: 'RS256', kid: 'one' }, privateKey);
      const editor = bearer(token({ tenant_id: 'inc', roles: ['editor'] }));
      const asked = await api.post('/assign-task', { task_type: 'test_task' }, editor);
      expect(asked.status).toBe(202);
      const { task_id: id } = asked.body as { task_id: string };
      const path = `/result/${id}?wait=20`;
      expect((await api.get(path, editor)).body).toMatchObject({ status: 'completed' });
      expectProblem(await api.get(path, of('acme', 'anna', 'admin')), 404, 'not_found');
      expectProblem(
        await api.post('/assign-task', { task_type: 'test_task' }, bearer(token({ tenant_id: 'inc' }))),
        403,
        'forbidden',
      );
      expectProblem(await api.get(path), 401, 'unauthorized');
      expectProblem(await api.get(path, bearer(`${token({ tenant_id: 'inc' })}AAAA`)), 401, 'unauthorized');
      expect(provider.calls.map((call) => call.path)).toEqual(['/keys']);
    });

    test('a key is made, used at every API, replaced with a time of grace, and revoked; its text is kept nowhere', async ({
      api,
      db,
      stack,
    }) => {
      const anna = of('acme', 'anna', 'admin');
      const made = await api.post('/api-keys', { name: 'import', roles: ['editor'], scopes: ['executions:*'] }, anna);
      expect(made).toMatchObject({
        status: 201,
        body: { name: 'import', roles: ['editor'], scopes: ['executions:*'], created_by: 'anna', revoked_at: null },
      });
      const { key, api_key_id: id, prefix, user_id } = made.body as Record<string, string>;
      if (key === undefined || id === undefined) throw new Error('no key');
      expect(made.headers.get('location')).toBe(`/api-keys/${id}`);
      expect(made.headers.get('cache-control')).toBe('no-store');
      expect(key.startsWith(String(prefix))).toBe(true);

      const second = openClient(`http://127.0.0.1:${(await stack.add('api')).port}`);
      for (const at of [api, second]) {
        for (const headers of [{ 'x-api-key': key }, bearer(key)]) expect(await status(at, headers)).toBe(202);
      }
      const [run] = list(await api.get('/executions', anna), 'executions');
      expect(run).toMatchObject({ user_id, tenant_id: 'acme' });
      // What it is limited to, of what its role allows.
      expectProblem(await api.get('/workflows', { 'x-api-key': key }), 403, 'forbidden');

      expect(list(await api.get('/api-keys', anna))).toMatchObject([{ api_key_id: id, name: 'import' }]);
      expect((await api.get(`/api-keys/${id}`, anna)).text).not.toContain(key);
      const inc = of('inc', 'bert', 'admin');
      expect(list(await api.get('/api-keys', inc))).toEqual([]);
      for (const [method, path] of [
        ['GET', `/api-keys/${id}`],
        ['POST', `/api-keys/${id}/rotate`],
        ['DELETE', `/api-keys/${id}`],
      ] as const) {
        expectProblem(await api.send(method, path, undefined, inc), 404, 'not_found');
      }

      const rotated = await api.post(`/api-keys/${id}/rotate`, { grace_seconds: 3_600 }, anna);
      expect(rotated).toMatchObject({
        status: 200,
        body: { api_key_id: id, previous_valid_until: expect.any(String) },
      });
      const { key: next } = rotated.body as { key: string };
      for (const text of [key, next]) expect(await status(second, bearer(text))).toBe(202);
      // The grace time ends, sooner than it would; what a process knows of the key holds a few seconds longer.
      await db.query(`UPDATE api_key SET previous_until = now() - interval '1 second'`);
      await until(async () => (await status(second, bearer(key))) === 401);
      expect(await status(second, bearer(next))).toBe(202);

      const { rows } = await db.query<{ text: string }>(
        `SELECT to_jsonb(k)::text || coalesce((SELECT string_agg(to_jsonb(e)::text, '') FROM run e), '') AS text FROM api_key k`,
      );
      expect(rows[0]?.text).toContain(id);
      for (const text of [key, next]) expect(rows[0]?.text).not.toContain(text.slice(14, 48));

      expect((await api.send('DELETE', `/api-keys/${id}`, undefined, anna)).status).toBe(204);
      for (const at of [api, second]) await until(async () => (await status(at, bearer(next))) === 401);
      expect((await api.get(`/api-keys/${id}`, anna)).body).toMatchObject({ revoked_at: expect.any(String) });
      expectProblem(await api.post(`/api-keys/${id}/rotate`, undefined, anna), 409, 'conflict');
      await until(async () => {
        const { body } = await api.get(`/api-keys/${id}`, anna);
        return (body as { last_used_at: string | null }).last_used_at !== null;
      });
    });

    test('a session of a browser is kept with its tenant and user, ended once, and gone when it is over', async ({
      db,
    }) => {
      const [sessions, directory] = [createLoginSessions(db), createSessionDirectory(db)];
      const begin = (id: string, tenantId: string, userId: string, seconds = 60) =>
        directory.start({ id, tenantId, userId, seconds });
      await begin('over', 'a', 'anna', -1);
      await begin('s1', 'a', 'anna');
      await begin('s2', 'a', 'anna');
      await begin('s3', 'a', 'bert');
      await begin('s4', 'b', 'anna');
      const ids = async (tenantId: string, userId?: string, page = 1, size = 10) => {
        const { items, total } = await sessions.list(tenantId, userId, page, size);
        return [items.map(({ id }) => id).sort(), total];
      };
      expect(await ids('a', 'anna')).toEqual([['s1', 's2'], 2]);
      expect(await ids('a')).toEqual([['s1', 's2', 's3'], 3]);
      expect(await ids('a', undefined, 2, 2)).toEqual([[expect.any(String)], 3]);
      // Of another tenant, of another user, of nobody, and one that is over.
      expect(await sessions.end('b', undefined, 's1', 'x')).toBe(false);
      expect(await sessions.end('a', 'bert', 's1', 'bert')).toBe(false);
      expect(await sessions.end('a', undefined, 'over', 'x')).toBe(false);
      expect([...(await directory.ended())]).toEqual([]);
      expect(await sessions.end('a', 'anna', 's1', 'anna')).toBe(true);
      expect(await sessions.end('a', 'anna', 's1', 'anna')).toBe(false);
      expect([...(await directory.ended())]).toEqual(['s1']);
      expect(await ids('a', 'anna')).toEqual([['s2'], 1]);
      const { rows } = await db.query<{ id: string }>('SELECT id FROM login_session ORDER BY id');
      expect(rows.map(({ id }) => id)).toEqual(['s1', 's2', 's3', 's4']);
    });

    test('an expired key is refused; who may not make keys makes none, and a faulty request leaves none', async ({
      api,
      db,
    }) => {
      const admin = of('gmbh', 'carla', 'admin');
      const made = await api.post('/api-keys', { name: 'short', roles: ['editor'], expires_in_seconds: 60 }, admin);
      const { key } = made.body as { key: string };
      expect(made.body).toMatchObject({ expires_at: expect.any(String) });
      await db.query(`UPDATE api_key SET expires_at = now() - interval '1 second' WHERE tenant_id = 'gmbh'`);
      expect(await status(api, bearer(key))).toBe(401);
      expectProblem(
        await api.post('/api-keys', { name: 'x', roles: ['viewer'] }, of('gmbh', 'dan', 'editor')),
        403,
        'forbidden',
      );
      const limited = bearer(
        hmacToken({ ...CLAIMS, tenant_id: 'gmbh', sub: 'eva', roles: ['admin'], scope: 'keys:write' }),
      );
      expectProblem(await api.post('/api-keys', { name: 'x', roles: ['admin'] }, limited), 403, 'forbidden');
      for (const body of [
        {},
        { name: 'x', roles: [] },
        { name: 'x', roles: ['root'] },
        { name: 'x', roles: ['viewer'], scopes: ['everything'] },
        { name: 'x', roles: ['viewer'], tenant_id: 'acme' },
        { name: 'x', roles: ['viewer'], expires_in_seconds: 1 },
      ]) {
        const refused = await api.post('/api-keys', body, admin);
        expectProblem(refused, 400, 'invalid_request');
        expect(list(refused, 'errors')).not.toEqual([]);
      }
      expect((await api.get('/api-keys', admin)).body).toMatchObject({ total: 1 });
    });
  },
);

async function status(api: Client, headers: Record<string, string>): Promise<number> {
  return (await api.post('/assign-task', { task_type: 'test_task' }, headers)).status;
}
