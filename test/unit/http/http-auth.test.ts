/** Credentials over HTTP: what is let in, as whom, and what is rejected without a word too much. */
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createRunFollower } from '../../../src/engine/follow/follow-run.ts';
import { createIdentify } from '../../../src/http/auth/identify.ts';
import { createKeySet } from '../../../src/http/auth/jwks.ts';
import { createJwtVerifier, type JwtRules } from '../../../src/http/auth/jwt.ts';
import { attachTaskSockets } from '../../../src/http/routes/task-sockets.ts';
import { createHttpServer } from '../../../src/http/server/server.ts';
import { createWorkerHealth } from '../../../src/http/server/worker-health.ts';
import { createTestLog } from '../../harness/test-log.ts';
import { until } from '../../harness/until.ts';
import { AT, fakeRunEvents } from '../../support/fake-run-events.ts';
import { type Door, openDoor } from '../../support/http-app.ts';
import { openSocket } from '../../support/task-socket.ts';
import { hmacToken, type Json, makeKeys, SECRET, signedToken } from '../../support/tokens.ts';

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const NOW = new Date('2030-01-01T12:00:00.000Z');
const TASK = { task_type: 'test_task' };
const METRICS_TOKEN = 'the token of the scraper';

function jwt(rules: Partial<JwtRules> = {}) {
  return createJwtVerifier({
    secrets: [SECRET],
    keys: undefined,
    ...{ issuers: [], audiences: [], toleranceSeconds: 0, tenantClaim: 'tenant_id', rolesClaim: 'roles' },
    ...{ defaultTenant: undefined, defaultRoles: ['viewer'] as const, now: () => NOW },
    ...rules,
  });
}

function token(more: Json = {}): string {
  const exp = NOW.getTime() / 1_000 + 60;
  return hmacToken({ sub: 'anna', tenant_id: 'acme', roles: ['admin'], exp, ...more });
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}` });

async function open(...config: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...config);
  closing.push(() => door.close());
  return door;
}

const askedBy = (door: Door) => door.asked.tasks.map(({ caller }) => `${caller.userId}@${caller.tenantId}`);

test('a token identifies the caller; headers and keys that are not its own change nothing', async () => {
  const door = await open({ jwt: jwt(), apiKeys: ['key-1'] });
  const claimed = { 'x-user-id': 'root', 'x-tenant-id': 'other' };
  expect((await door.post('/assign-task', TASK, { ...bearer(token()), ...claimed })).status).toBe(202);
  expect((await door.post('/assign-task', TASK, { 'x-api-key': 'key-1', ...claimed })).status).toBe(202);
  expect((await door.post('/assign-task', TASK, claimed)).status).toBe(401);
  expect(askedBy(door)).toEqual(['anna@acme', expect.stringMatching(/^api-key-[0-9a-f]{8}@default$/)]);
});

test('whatever is wrong with a credential the answer is the same, on every path; the log knows why', async () => {
  const door = await open({ jwt: jwt(), apiKeys: ['key-1'] });
  const wrong: Array<[string, Record<string, string>, string]> = [
    ['expired', bearer(token({ exp: 1 })), 'expired'],
    ['of nobody', bearer(hmacToken({ sub: 'a' }, undefined, 'x'.repeat(32))), 'wrong_signature'],
    ['no token', bearer('nonsense'), 'no_token'],
    ['a token as a key', { 'x-api-key': token() }, 'unknown_key'],
    ['an unknown key', { 'x-api-key': 'key-2' }, 'unknown_key'],
    ['two that differ', { ...bearer(token()), 'x-api-key': 'key-1' }, 'two_credentials'],
    ['another scheme', { authorization: 'Basic a2V5LTE6' }, 'unknown_scheme'],
    ['a scheme alone', { authorization: 'Bearer' }, 'unknown_scheme'],
    ['two words', { authorization: `Bearer ${token()} ${token()}` }, 'unknown_scheme'],
    ['another scheme beside a key', { authorization: 'Basic a2V5LTE6', 'x-api-key': 'key-1' }, 'unknown_scheme'],
  ];
  const told = new Set<string>();
  for (const [what, headers, why] of wrong) {
    for (const path of ['/tasks', '/health', '/ready', '/nowhere', '/metrics', '/admin/queues', '/approvals/x']) {
      const answer = await door.fetch(path, { headers });
      expect(answer.status, `${what} at ${path}`).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="orchestrator", error="invalid_token"');
      const { instance, trace_id, ...problem } = (await answer.json()) as Json;
      told.add(JSON.stringify(problem));
      expect(door.logged.findLast(({ event }) => event === 'credentials_refused')?.fields).toMatchObject({ why });
    }
  }
  expect([...told]).toHaveLength(1);
  expect(JSON.parse([...told].join(''))).toMatchObject({
    code: 'unauthorized',
    detail: 'The credentials are not valid',
  });
});

test('a token in the address or in the body is nobody’s', async () => {
  const door = await open({ jwt: jwt() });
  for (const name of ['access_token', 'token', 'api_key', 'authorization']) {
    const answer = await door.fetch(`/tasks?${name}=${token()}`);
    expect(answer.status, name).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="orchestrator"');
  }
  expect((await door.post('/assign-task', { ...TASK, access_token: token() })).status).toBe(401);
});

test('a second credential does not hide behind the first line of a header', async () => {
  const door = await open({ jwt: jwt(), apiKeys: ['key-1'] });
  const good = `Bearer ${token()}`;
  const lines = (...values: string[]) => values.flatMap((value) => ['authorization', value]);
  expect(await statusOf(door, lines(good))).toBe(200);
  expect(await statusOf(door, lines(good, good))).toBe(200);
  expect(await statusOf(door, lines(good, 'Bearer other'))).toBe(401);
  expect(await statusOf(door, lines('Bearer other', good))).toBe(401);
  expect(await statusOf(door, ['x-api-key', 'key-1', 'X-API-Key', 'key-2'])).toBe(401);
  expect(await statusOf(door, ['x-api-key', 'key-1', ...lines('Bearer key-1')])).toBe(200);
});

/** Header lines as they are sent: name, value, name, value. */
function statusOf(door: Door, lines: readonly string[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(
      `${door.url}/tasks`,
      { headers: ['host', 'localhost', ...lines], agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      },
    );
    call.once('error', reject);
    call.end();
  });
}

test('paths of the board that are spelled like liveness are not open', async () => {
  const door = await open({ apiKeys: ['key-1'] });
  for (const path of ['/admin/queues/health', '/admin/queues/ready', '/admin/queues/approvals/x']) {
    const answer = await door.fetch(path);
    expect(answer.status, path).toBe(401);
    // By the authentication, not only by what comes after it.
    expect(answer.headers.get('www-authenticate'), path).toBe('Bearer realm="orchestrator"');
  }
});

test('while the keys of the provider cannot be read a token is 503, and a key of our own is valid', async () => {
  const keys = createKeySet({
    fetchKeys: () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.9:443')),
    elapsed: () => 0,
    log: createTestLog(),
  });
  const door = await open({ jwt: jwt({ keys }), apiKeys: ['key-1'] });
  const { privateKey } = makeKeys.ec('P-256');
  const answer = await door.fetch('/tasks', {
    headers: bearer(signedToken({ sub: 'anna' }, { alg: 'ES256', kid: 'a' }, privateKey)),
  });
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await answer.text()).not.toMatch(/ECONN|10\.0\.0\.9/);
  expect((await door.fetch('/tasks', { headers: { 'x-api-key': 'key-1' } })).status).toBe(200);
});

test('only a trusted caller may speak for others, with what it may do itself', async () => {
  const rules = { issuers: ['https://id', 'https://other'] };
  const door = await open({ jwt: jwt(rules), apiKeys: ['key-1'], trustedCallers: ['jwt:https://id|acme|gateway'] });
  const gateway = (more: Json = {}) => bearer(token({ sub: 'gateway', iss: 'https://id', ...more }));
  const claimed = { 'x-user-id': 'bert', 'x-tenant-id': 'inc' };
  await door.post('/assign-task', TASK, { ...gateway(), ...claimed });
  await door.post('/assign-task', TASK, { ...gateway(), 'x-user-id': 'carl' });
  await door.post('/assign-task', TASK, gateway());
  await door.post('/assign-task', TASK, { ...gateway({ sub: 'gateways' }), ...claimed });
  await door.post('/assign-task', TASK, { 'x-api-key': 'key-1', ...claimed });
  expect(askedBy(door).slice(0, 4)).toEqual(['bert@inc', 'carl@acme', 'gateway@acme', 'gateways@acme']);
  expect(askedBy(door)[4]).toMatch(/@default$/);
  const broken = { ...gateway(), 'x-tenant-id': 'x'.repeat(256) };
  expect((await door.post('/assign-task', TASK, broken)).status).toBe(400);
});

test('a trusted caller is bound to its issuer and tenant: the same subject elsewhere speaks for itself alone', async () => {
  const rules = { issuers: ['https://id', 'https://other'] };
  const door = await open({ jwt: jwt(rules), trustedCallers: ['jwt:https://id|acme|gateway'] });
  const claimed = { 'x-user-id': 'root', 'x-tenant-id': 'default' };
  for (const more of [
    { iss: 'https://other' },
    { iss: 'https://id', tenant_id: 'inc' },
    { iss: 'https://id', sub: 'acme|gateway' },
  ])
    await door.post('/assign-task', TASK, { ...bearer(token({ sub: 'gateway', ...more })), ...claimed });
  expect(askedBy(door)).toEqual(['gateway@acme', 'gateway@inc', 'acme|gateway@acme']);
});

test.each([true, false])(
  'METRICS_TOKEN opens /metrics of the API and of a worker and nothing else; needed although %s is required otherwise',
  async (required) => {
    const settings = {
      required,
      apiKeys: required ? ['key-1'] : [],
      metricsTokens: [METRICS_TOKEN.replaceAll(' ', '-')],
    };
    const good = bearer(METRICS_TOKEN.replaceAll(' ', '-'));
    const door = await open(settings);
    const worker = createWorkerHealth({
      registry: {
        metrics: async () => 'metrics 1\n',
        getMetricsAsJSON: async () => [],
      },
      identify: createIdentify(settings),
      state: () => ({ worker: 'w', lanes: [], draining: false, unresponsive: false, problems: [] }),
    });
    const port = await worker.listen(0, '127.0.0.1');
    closing.push(() => worker.close());
    for (const base of [door.url, `http://127.0.0.1:${port}`]) {
      for (const path of ['/metrics', '/metrics/', '/metrics?x=1']) {
        expect((await fetch(`${base}${path}`, { headers: good })).status, path).toBe(200);
        for (const headers of [{}, bearer('another-token')]) {
          const refused = await fetch(`${base}${path}`, { headers });
          expect(refused.status).toBe(401);
          expect(refused.headers.get('www-authenticate')).toContain('Bearer');
          expect(await refused.json()).toMatchObject({ status: 401 });
        }
      }
      expect((await fetch(`${base}/health`)).status).toBe(200);
    }
    if (!required) return;
    expect((await door.fetch('/metrics', { headers: { 'x-api-key': 'key-1' } })).status).toBe(200);
    for (const path of ['/tasks', '/admin/queues', '/admin/queues/metrics', '/metrics/x', '/']) {
      expect((await door.fetch(path, { headers: good })).status, path).toBe(401);
    }
  },
);

test('a socket takes a token as HTTP does, of a browser as a subprotocol, and sees what is its tenant’s', async () => {
  const server = createHttpServer((_request, response) => response.end());
  const follower = createRunFollower(fakeRunEvents('r'), { pollMs: 5 });
  const asked: string[] = [];
  const sockets = attachTaskSockets(server, {
    identify: createIdentify({ required: true, apiKeys: ['key-1'], jwt: jwt() }),
    config: { corsOrigins: [] },
    inTenant: (_caller, work) => work(),
    events: follower,
    states: {
      async read(tenantId) {
        asked.push(tenantId);
        return { status: 'pending', final: false, progress: null, message: null, at: new Date(AT) };
      },
    },
    clock: { now: () => NOW },
    log: createTestLog(),
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  closing.push(async () => {
    follower.close();
    await sockets.close();
    server.close();
    await once(server, 'close');
  });
  const url = `http://127.0.0.1:${port}/ws/task/r`;
  const good = [openSocket(url, { headers: bearer(token()) }), openSocket(url, { protocols: ['bearer', token()] })];
  await until(() => good.every(({ messages }) => messages.length > 0));
  expect(new Set(asked)).toEqual(new Set(['acme']));
  const bad = [
    openSocket(url),
    openSocket(url, { headers: bearer(token({ exp: 1 })) }),
    openSocket(url, { protocols: ['bearer', token({ exp: 1 })] }),
    openSocket(url, { headers: { 'x-api-key': 'key-1' }, protocols: ['bearer', token()] }),
    openSocket(`${url}?access_token=${token()}`),
  ];
  for (const socket of bad) expect(await socket.ended()).toBe(401);
  expect(new Set(asked)).toEqual(new Set(['acme']));
});
