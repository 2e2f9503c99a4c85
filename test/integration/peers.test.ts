/** Installations that tell each other of their services: two real ones, with databases of their own, and one that is watched. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { peerHeaders } from '../../src/features/peers/sign-peer.ts';
import type { Json } from '../../src/schemas/json.ts';
import { type Answer, accepted, type Client, openClient } from '../harness/client/client.ts';
import { startTcpProxy, type TcpProxy } from '../harness/servers/tcp-proxy.ts';
import { type Service, startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { openStack, type Stack } from '../support/stack.ts';

const SECRET = 'a secret that all peers of this test know';
const ANOTHER = { 'x-tenant-id': 'another' };
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

interface Installation {
  stack: Stack;
  api: Client;
  proxy: TcpProxy;
  id: string;
}
type Registered = { version: number; base_url: string; origin: string | null };

let a: Installation;
let b: Installation;
/** A peer of B alone. */
let watcher: Service;

async function open(): Promise<{ stack: Stack; proxy: TcpProxy }> {
  const stack = await openStack('redis', { workers: 0, environment: { PEER_SECRET: SECRET } });
  const proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(stack.api.url).port) });
  return { stack, proxy };
}

async function join({ stack, proxy }: { stack: Stack; proxy: TcpProxy }, peers: string[]): Promise<Installation> {
  const environment = { PEERS: JSON.stringify(peers), WORKER_LANES: 'wait' };
  const { port } = await stack.add('api', environment);
  await stack.add('worker', environment);
  const api = openClient(`http://127.0.0.1:${port}`);
  const told = await signed(stack.api, { from: 'nobody', changes: [] });
  return { stack, proxy, api, id: (told.body as { id: string }).id };
}

function signed(api: Client, body: Json, secret = SECRET, now = new Date()): Promise<Answer> {
  return api.post('/registry/replicate', body, peerHeaders(secret, now, body));
}

const urlOf = ({ proxy }: { proxy: TcpProxy }) => `http://127.0.0.1:${proxy.port}`;
const at = async ({ api }: Installation, name: string, headers = {}) => {
  const answer = await api.get(`/registry/${name}`, headers);
  return answer.status === 200 ? (answer.body as Registered) : undefined;
};
const register = ({ api }: Installation, body: object, headers = {}) => api.post('/registry/register', body, headers);
const peersOf = async ({ api }: Installation) =>
  (await api.get('/peers')).body as { peers: Array<Record<string, unknown>> };
/** What the watcher was told of, in order. */
const watched = () =>
  watcher.calls.flatMap(({ body }) => (body as { changes: Array<{ name: string; service: unknown }> }).changes);

beforeAll(async () => {
  watcher = await startService(({ body }) => ({
    body: { id: 'watcher', results: (body as { changes: unknown[] }).changes.map(() => ({ outcome: 'applied' })) },
  }));
  const [first, second] = await Promise.all([open(), open()]);
  a = await join(first, [urlOf(second)]);
  b = await join(second, [urlOf(first), watcher.url]);
});
afterAll(async () => {
  await Promise.all(
    [a, b].map(async ({ stack, proxy }) => {
      await stack.stop();
      await proxy.close();
    }),
  );
  await watcher.close();
});

describe('peers', () => {
  test('what is registered here is known there, in its tenant and with its version, and goes no further', async () => {
    const service = {
      name: 'analysis',
      base_url: 'http://analysis:1',
      openapi_url: 'http://analysis:1/api',
      endpoints: ['/x'],
      metadata: { team: 'x' },
      bulkhead: 3,
    };
    accepted(await register(a, service), 200);
    accepted(
      await register(a, {
        name: 'analysis',
        base_url: 'http://analysis:2',
        instance_id: 'two',
        weight: 5,
        ttl_seconds: 600,
      }),
      200,
    );
    accepted(await register(a, { name: 'analysis', base_url: 'http://other:1' }, ANOTHER), 200);
    const here = await at(a, 'analysis');
    await until(async () => (await at(b, 'analysis'))?.version === here?.version && (await at(b, 'analysis', ANOTHER)));
    const fields = {
      ttl_seconds: null,
      status: 'unknown',
      last_heartbeat: null,
      expires_at: null,
      last_check_at: null,
      latency_ms: null,
      last_error: null,
    };
    expect(await at(b, 'analysis')).toMatchObject({
      name: 'analysis',
      base_url: here?.base_url,
      openapi_url: 'http://analysis:1/api',
      endpoints: ['/x'],
      metadata: { team: 'x' },
      bulkhead: 3,
      origin: a.id,
      version: here?.version,
      instances: [
        { instance_id: 'default', base_url: 'http://analysis:1', weight: 1, ...fields },
        { instance_id: 'two', base_url: 'http://analysis:2', weight: 5, ...fields },
      ],
    });
    expect(await at(b, 'analysis', ANOTHER)).toMatchObject({ base_url: 'http://other:1', origin: a.id });

    accepted(await register(b, { name: 'source', base_url: 'http://source:1' }), 200);
    await until(async () => (await at(a, 'source'))?.origin === b.id);
    await until(() => watched().length > 0);
    expect(watched()).toEqual([
      expect.objectContaining({
        tenant_id: 'default',
        name: 'source',
        service: expect.objectContaining({ base_url: 'http://source:1' }),
      }),
    ]);

    // Deleted where it was not registered: made there, so it is told, also to where it came from.
    accepted(await b.api.send('DELETE', '/registry/analysis'), 204);
    await until(async () => (await at(a, 'analysis')) === undefined);
    expect(await at(a, 'analysis', ANOTHER)).toMatchObject({ base_url: 'http://other:1', origin: null });
    await until(() => watched().length > 1);
    expect(watched().slice(1)).toEqual([
      expect.objectContaining({ tenant_id: 'default', name: 'analysis', service: null }),
    ]);
    const { rows } = await a.stack.db.query("SELECT origin FROM service_tombstone WHERE name = 'analysis'");
    expect(rows).toEqual([{ origin: b.id }]);
  });

  test('a peer that was away is told when it is back, and of two changes the later one holds on both sides', async () => {
    accepted(await register(a, { name: 'early', base_url: 'http://early:1' }), 200);
    await until(async () => await at(b, 'early'));
    await Promise.all([a.proxy.shut(), b.proxy.shut()]);
    accepted(await register(a, { name: 'both', base_url: 'http://of-a:1' }), 200);
    const ofA = await at(a, 'both');
    await until(async () => (await peersOf(a)).peers[0]?.['status'] === 'down');
    accepted(await register(b, { name: 'both', base_url: 'http://of-b:1' }), 200);
    const ofB = await at(b, 'both');
    expect(ofB?.version).toBeGreaterThan(ofA?.version ?? Number.POSITIVE_INFINITY);
    expect((await a.api.get('/peers')).body).toEqual({
      peers: [
        {
          url: urlOf(b),
          id: b.id,
          status: 'down',
          last_seen: TIME,
          last_error: expect.stringContaining('could not be reached'),
          failures: expect.any(Number),
          latency_ms: expect.any(Number),
          next_attempt: TIME,
          pending: 1,
        },
      ],
      count: 1,
    });
    // What it has is asked for too, and nobody takes it.
    expect((await a.api.post('/registry/sync-peers')).body).toEqual({ sent: 0, peers: 1, pending: 2 });

    await Promise.all([a.proxy.open(), b.proxy.open()]);
    await until(async () => (await at(a, 'both'))?.base_url === 'http://of-b:1');
    await until(async () => (await peersOf(a)).peers.every(({ status, pending }) => status === 'up' && pending === 0));
    expect(await at(a, 'both')).toMatchObject({ version: ofB?.version, origin: b.id });
    expect(await at(b, 'both')).toMatchObject({ version: ofB?.version, origin: null });

    // A peer that has lost something gets it again.
    await b.stack.db.query("DELETE FROM service WHERE name = 'early'");
    expect((await a.api.post('/registry/sync-peers')).body).toEqual({ sent: 1, peers: 1, pending: 0 });
    expect(await at(b, 'early')).toMatchObject({ base_url: 'http://early:1', origin: a.id });
    expect((await a.stack.api.get('/peers')).body).toEqual({ peers: [], count: 0 });
    expect((await a.stack.api.post('/registry/sync-peers')).body).toEqual({ sent: 0, peers: 0, pending: 0 });
  });

  test('only what is signed with the secret, and lately, is taken, and the newer state of two', async () => {
    const { api } = b.stack;
    const now = Date.now();
    const told = (name: string, version: number, base_url: string | null, from: string) => ({
      from,
      changes: [
        {
          tenant_id: 'default',
          name,
          version,
          service:
            base_url === null
              ? null
              : { base_url, openapi_url: null, endpoints: [], metadata: {}, settings: {}, instances: [] },
        },
      ],
    });
    const first = told('told', 10, 'http://told:1', 'm');
    expectProblem(await api.post('/registry/replicate', first), 401, 'unauthorized');
    expectProblem(await signed(api, first, 'another secret that nobody has told us'), 401, 'unauthorized');
    expectProblem(await signed(api, first, SECRET, new Date(now - 600_000)), 401, 'unauthorized');
    expectProblem(await signed(api, first, SECRET, new Date(now + 600_000)), 401, 'unauthorized');
    const headers = peerHeaders(SECRET, new Date(now), first);
    expectProblem(
      await api.post('/registry/replicate', told('told', 10, 'http://evil:1', 'm'), headers),
      401,
      'unauthorized',
    );
    expectProblem(await signed(api, { from: 'm', changes: [{ name: 'x' }] }), 400, 'invalid_request');
    expectProblem(await signed(api, told('told', 10, 'ftp://told:1', 'm')), 400, 'invalid_request');
    expect(await at(b, 'told')).toBeUndefined();

    const tell = async (...change: Parameters<typeof told>) => {
      const answer = await signed(api, told(...change));
      expect(answer.status).toBe(200);
      return [
        (answer.body as { results: Array<{ outcome: string }> }).results[0]?.outcome,
        (await at(b, 'told'))?.base_url,
      ];
    };
    expect(await tell('told', 10, 'http://told:1', 'm')).toEqual(['applied', 'http://told:1']);
    expect(await tell('told', 10, 'http://told:1', 'm')).toEqual(['stale', 'http://told:1']);
    expect(await tell('told', 9, null, 'z')).toEqual(['stale', 'http://told:1']);
    expect(await tell('told', 10, 'http://told:2', 'l')).toEqual(['stale', 'http://told:1']);
    expect(await tell('told', 10, 'http://told:3', 'n')).toEqual(['applied', 'http://told:3']);
    expect(await tell('told', 11, null, 'm')).toEqual(['applied', undefined]);
    expect(await tell('told', 10, 'http://told:4', 'z')).toEqual(['stale', undefined]);
    expect(await tell('told', 12, 'http://told:5', 'm')).toEqual(['applied', 'http://told:5']);
    expect((await b.stack.db.query("SELECT 1 FROM service_tombstone WHERE name = 'told'")).rows).toEqual([]);
  });
});
