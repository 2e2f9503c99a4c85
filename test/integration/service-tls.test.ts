/** Mutual TLS with what the service calls: its actions, health checks, polls of documents, and peers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import { openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { makeAuthority, makeCertificate } from '../support/certificate.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';
import { startTlsServer } from '../support/tls-server.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'service-tls-'));
const served = makeCertificate(folder);
const clients = makeAuthority(folder, 'clients');
clients.issue('caller', '/CN=caller');
clients.issue('installation', '/CN=installation');
const files = (name: string) => ({
  ca_path: served.certPath,
  cert_path: path.join(folder, `${name}.crt`),
  key_path: path.join(folder, `${name}.key`),
});

const DOCUMENT = { openapi: '3.1.0', info: { title: 'vault', version: '1' }, paths: {} };
const server = await startTlsServer({ ...served, clients: clients.cert }, ({ path: asked, body, client }) => {
  if (asked === '/openapi.json') return { body: DOCUMENT };
  if (asked === '/v1/evaluate') return { body: { allowed: true } };
  if (asked === '/v1/tokens/verify')
    return { body: { valid: true, user_id: 'kim', tenant_id: 'default', capabilities: [], roles: ['admin'] } };
  if (asked !== '/registry/replicate') return { body: { client } };
  const { changes } = JSON.parse(body) as { changes: unknown[] };
  return { body: { id: 'watcher', results: changes.map(() => ({ outcome: 'applied' })) } };
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});
/** Who has asked for that path. */
const callersOf = (asked: string) =>
  new Set(server.received.filter((request) => request.path === asked).map(({ client }) => client));

// Calls are the worker's, and the same on both.
const [onOne] = onBothBackends({
  environment: {
    SERVICE_TLS: JSON.stringify({ vault: files('caller'), peers: files('installation') }),
    PEERS: server.url,
  },
});

describe.each([onOne].flatMap((one) => one ?? []))('mutual TLS with services on $backend', ({ test }) => {
  const calling = (service: string) => ({
    name: `calls ${service}`,
    actions: [
      {
        action_id: 'call',
        action_type: 'service_call',
        config: { service, endpoint: '/value' },
        retry: { max_attempts: 1 },
      },
    ],
  });

  test('a service gets the certificate that its name has, in calls, health checks and polls of its document; another name has none', async ({
    api,
  }) => {
    const health_check = { path: '/up', interval_seconds: 1, healthy_threshold: 1 };
    for (const name of ['vault', 'other'])
      expect((await api.post('/registry/register', { name, base_url: server.url, health_check })).status).toBe(200);
    expect(await api.run(calling('vault'))).toMatchObject({
      status: 'completed',
      tasks: [{ output: { status: 200, response: { client: 'caller' } } }],
    });
    expect(await api.run(calling('other'))).toMatchObject({
      status: 'failed',
      tasks: [{ error: { code: 'network_error' } }],
    });
    const poll = { action_id: 'poll', action_type: 'poll_openapi', config: { service: 'vault' } };
    expect(await api.run({ name: 'polls', actions: [poll] })).toMatchObject({ status: 'completed' });
    await until(async () => {
      const { body } = await api.get('/registry/vault');
      return (body as { status: string }).status === 'healthy';
    });
    for (const asked of ['/value', '/openapi.json', '/up'])
      expect(callersOf(asked), asked).toEqual(new Set(['caller']));
  });

  test('peers get the certificate of the installation', async ({ api }) => {
    await api.post('/registry/register', { name: 'told', base_url: 'http://told:1' });
    await until(() =>
      server.received.some(({ path: asked, body }) => asked === '/registry/replicate' && body.includes('told')),
    );
    expect(callersOf('/registry/replicate')).toEqual(new Set(['installation']));
  });

  test('the policy engine and the identity service get the certificates of theirs', async ({ stack }) => {
    const { port, stop } = await stack.add('api', {
      SERVICE_TLS: JSON.stringify({ policy: files('caller'), identity: files('installation') }),
      ...{ POLICY_ENGINE_URL: server.url, POLICY_SCOPE: 'all', IDENTITY_SERVICE_URL: server.url, PEERS: '' },
    });
    try {
      const client = openClient(`http://127.0.0.1:${port}`, { authorization: 'Bearer a-token-of-kim' });
      expect((await client.post('/workflows', workflow([echo('a')]))).status).toBe(201);
    } finally {
      await stop();
    }
    expect(callersOf('/v1/evaluate')).toEqual(new Set(['caller']));
    expect(callersOf('/v1/tokens/verify')).toEqual(new Set(['installation']));
  });
});
