/** What is done when services go: workers hear of it, the log tells it, and what was kept of them is not kept for ever. */
import { describe, expect } from 'vitest';
import { supersedes } from '../../src/features/peers/domain.ts';
import { createReplicaStore } from '../../src/features/peers/replica-store.ts';
import { createServiceCheckStore } from '../../src/features/services/check-store.ts';
import { createGoneServices } from '../../src/features/services/gone-services.ts';
import { SERVICE_CHANNEL } from '../../src/features/services/store.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

const base_url = 'http://a';
const PEER = 'http://peer:1';
const LATER = 9_000_000_000_000;

// No job is in it, so one backend is as good as both.
const [onOne] = onBothBackends({ workers: 0 });

describe.each([onOne].flatMap((one) => one ?? []))('services that go, on $backend', ({ test }) => {
  test('workers hear of every change, whoever made it', async ({ api, db }) => {
    const listener = await db.connect();
    let heard = 0;
    listener.on('notification', ({ channel }) => {
      if (channel === SERVICE_CHANNEL) heard += 1;
    });
    await listener.query(`LISTEN ${SERVICE_CHANNEL}`);
    const hear = async (what: string, change: () => Promise<unknown>) => {
      const before = heard;
      await change();
      await until(() => heard > before, { what, timeoutMs: 5_000 });
      expect(heard).toBe(before + 1);
    };
    const register = (name: string, body = {}) => api.post('/registry/register', { name, base_url, ...body });
    const replicas = createReplicaStore(db);
    const service = {
      ...{ base_url, openapi_url: null, endpoints: [], metadata: {} },
      ...{ settings: {}, instances: [{ instance_id: 'default', base_url, weight: 1 }] },
    };
    const told = (version: number, state: typeof service | null) =>
      replicas.apply({ tenant_id: 'default', name: 'told', version, service: state }, 'peer', 'self', supersedes);
    try {
      await hear('a registration', () => register('heard'));
      await hear('a deletion', () => api.send('DELETE', '/registry/heard'));
      await hear('a registration of a peer', () => told(LATER, service));
      await hear('a deletion of a peer', () => told(LATER + 1, null));
      await hear('a registration for a while', () => register('brief', { instance_id: 'one', ttl_seconds: 5 }));
      await db.query(`UPDATE service_instance SET expires_at = now() - interval '2 hours' WHERE name = 'brief'`);
      await hear('an end that nobody put off', () => createServiceCheckStore(db).removeGone(10));
      expectProblem(await api.get('/registry/brief'), 404, 'not_found');
    } finally {
      listener.release(true);
    }
  });

  test('registrations and removals are in the log of their tenant, and what is refused is not', async ({ api, db }) => {
    const mine = { 'x-tenant-id': 'logs' };
    const asked = { ...mine, 'x-correlation-id': 'order-9' };
    await api.post('/registry/register', { name: 'logged', base_url }, asked);
    const brief = { name: 'short', base_url, instance_id: 'one', ttl_seconds: 5 };
    await api.post('/registry/register', brief, mine);
    await api.send('DELETE', '/registry/logged', undefined, asked);
    expectProblem(await api.send('DELETE', '/registry/logged', undefined, asked), 404, 'not_found');
    await db.query(`UPDATE service_instance SET expires_at = now() - interval '2 hours' WHERE name = 'short'`);
    await createServiceCheckStore(db).removeGone(10);
    await db.query(
      `INSERT INTO service (tenant_id, name, base_url) SELECT 'logs', 's' || n, 'http://a' FROM generate_series(1, 1000) n`,
    );
    expectProblem(await api.post('/registry/register', { name: 'more', base_url }, mine), 409, 'conflict');
    const { body } = await api.get('/infrastructure/events/history', mine);
    const { events } = body as { events: Array<Record<string, unknown>> };
    expect(events.map(({ event_type, correlation_id, data }) => [event_type, correlation_id, data])).toEqual([
      ['service.removed', null, { service: 'short', cause: 'expired' }],
      ['service.removed', 'order-9', { service: 'logged', cause: 'deleted' }],
      ['service.registered', null, { service: 'short', base_url, instance_id: 'one' }],
      ['service.registered', 'order-9', { service: 'logged', base_url, instance_id: 'default' }],
    ]);
  });

  test('what is kept of them goes after a while, in batches, but for what a peer is still owed', async ({
    api,
    db,
  }) => {
    const gone = createGoneServices(db, { peers: [PEER], configured: ['doc_store'] });
    await db.query(`DELETE FROM service_tombstone`);
    // Nobody has tried the one without a process that names it for two days; the other one is tried.
    await db.query(
      `INSERT INTO peer (url, next_at) VALUES ('http://tried:1', now() - interval '1 hour'), ('http://left:1', now() - interval '2 days')`,
    );
    const dead = (name: string, days: number, origin: string | null = null) =>
      db.query(
        `INSERT INTO service_tombstone (tenant_id, name, version, origin, deleted_at)
         VALUES ('default', $1, 5, $2, now() - make_interval(days => $3))`,
        [name, origin, days],
      );
    const took = (peer: string, name: string, version: number) =>
      db.query(`INSERT INTO peer_sent (peer, tenant_id, name, version) VALUES ($1, 'default', $2, $3)`, [
        ...[peer, name, version],
      ]);
    const peers = [PEER, 'http://tried:1', 'http://left:1'];
    await dead('young', 29);
    await dead('old', 31);
    await dead('owed', 31);
    await dead('owed elsewhere', 31);
    await dead('of a peer', 31, 'peer');
    for (const name of ['young', 'old', 'owed', 'owed elsewhere']) {
      for (const peer of peers) {
        const owed = (name === 'owed' && peer === PEER) || (name === 'owed elsewhere' && peer === 'http://tried:1');
        await took(peer, name, owed ? 4 : 5);
      }
    }
    await db.query(`
      INSERT INTO service_document (tenant_id, service, url, hash, document, operations, fetched_at)
      SELECT 'default', name, 'http://a', 'h', '{}', '{}', now() - make_interval(days => days)
      FROM (VALUES ('Doc-Store', 31), ('left', 31), ('just left', 29), ('kept', 31), ('gone too', 31)) v (name, days)`);
    await db.query(`
      INSERT INTO service_drift (tenant_id, service, cause, hash, added, removed, changed, breaking, operations)
      SELECT tenant_id, service, 'c', 'h', '[]', '[]', '[]', false, 0 FROM service_document`);
    await api.post('/registry/register', { name: 'kept', base_url });
    await db.query(
      `INSERT INTO worker (id, lanes, version, active_tasks, loop_lag_ms, started_at) VALUES ('alive', '{}', '1', 0, 0, now())`,
    );
    await db.query(`
      INSERT INTO service_circuit (worker, tenant_id, name, instance_id, state, since)
      SELECT worker, 'default', name, 'default', 'open', now() - make_interval(mins => minutes) FROM (VALUES
        ('alive', 'kept', 61), ('alive', 'doc_store', 61), ('alive', 'left', 61), ('alive', 'just left', 59), ('dead', 'kept', 61)
      ) v (worker, name, minutes)`);

    // A batch takes no more than it may.
    expect(await gone.removeExpired(1)).toBeGreaterThanOrEqual(1);
    expect((await db.query('SELECT FROM service_tombstone')).rowCount).toBe(4);
    expect((await db.query('SELECT FROM service_document')).rowCount).toBe(4);
    await until(async () => (await gone.removeExpired(2)) === 0);

    const names = async (table: string, column = 'name') =>
      (
        await db.query<{ of: string }>(`SELECT ${column} AS of FROM ${table} WHERE tenant_id = 'default' ORDER BY 1`)
      ).rows
        .map((row) => row.of)
        .sort();
    expect(await names('service_tombstone')).toEqual(['owed', 'owed elsewhere', 'young']);
    expect((await db.query('SELECT url FROM peer')).rows).toEqual([{ url: 'http://tried:1' }]);
    expect(new Set(await names('peer_sent', 'peer'))).toEqual(new Set([PEER, 'http://tried:1']));
    expect(await names('service_document', 'service')).toEqual(['Doc-Store', 'just left', 'kept']);
    expect(await names('service_drift', 'service')).toEqual(['Doc-Store', 'just left', 'kept']);
    expect(await names('service_circuit', "worker || ' ' || name")).toEqual([
      'alive doc_store',
      'alive just left',
      'alive kept',
    ]);

    // As soon as the last one has taken it, it goes too.
    await db.query(`UPDATE peer_sent SET version = 5`);
    await gone.removeExpired(100);
    expect(await names('service_tombstone')).toEqual(['young']);
  });
});
