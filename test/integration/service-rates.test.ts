import { describe, expect } from 'vitest';
import { createServiceTurnStore } from '../../src/features/services/rate-limit-store.ts';
import { createExpiryStore } from '../../src/store/recover/expired.ts';
import { onBothBackends } from '../support/fixtures.ts';

const MAX = 4;
/** Long enough for a busy machine to take all of the calls in less. */
const PER_MS = 2_000;

describe.each(
  onBothBackends({ workers: 0, environment: { SERVICE_RATE_LIMITS: `Slow-Store=${MAX}/${PER_MS / 1_000}s` } }),
)('the limit of a service on $backend', ({ test }) => {
  test('holds for all workers together and costs no attempt; a service without one is not touched', async ({
    api,
    db,
    service,
    stack,
  }) => {
    const arrivals = new Map<string, number[]>();
    service.answer(({ path }) => {
      arrivals.set(path, [...(arrivals.get(path) ?? []), Date.now()]);
      return { body: {} };
    });
    // Those of periods that are over are removed.
    await db.query(`CREATE TABLE use_seen AS SELECT key, n, at FROM service_use;
      CREATE FUNCTION see_use() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO public.use_seen VALUES (NEW.key, NEW.n, NEW.at); RETURN NULL; END $$;
      CREATE TRIGGER see_use AFTER INSERT ON service_use FOR EACH ROW EXECUTE FUNCTION see_use()`);
    for (const name of ['slow_store', 'other_store'])
      await db.query(`INSERT INTO service (tenant_id, name, base_url, updated_at) VALUES ('default', $1, $2, now())`, [
        name,
        service.url,
      ]);
    const call = (name: string) =>
      api.assign({ task_type: 'service_call', params: { service: name, endpoint: `/${name}` } });
    const ids: string[] = [];
    for (let n = 0; n < 3 * MAX; n += 1) ids.push(await call('slow_store'), await call('other_store'));
    // All of them wait by then: the workers find more than a period lets through.
    const ports = [(await stack.add('worker')).port, (await stack.add('worker')).port];
    for (const id of ids) expect(await api.ended(id)).toMatchObject({ status: 'completed' });

    expect(arrivals.get('/other_store')).toHaveLength(3 * MAX);
    const limited = arrivals.get('/slow_store') ?? [];
    expect(limited).toHaveLength(3 * MAX);
    const uses = await db.query<{ key: string; at: Date }>('SELECT key, at FROM use_seen ORDER BY n');
    expect(uses.rows.map(({ key }) => key)).toEqual(Array(3 * MAX).fill('slow_store'));
    for (const [n, { at }] of uses.rows.entries()) {
      // A call may be long on its way on a busy machine, but none comes before one more has been let through.
      expect(limited[n]).toBeGreaterThanOrEqual(at.getTime());
      const next = uses.rows[n + MAX]?.at;
      if (next !== undefined) expect(next.getTime() - at.getTime()).toBeGreaterThanOrEqual(PER_MS);
    }
    const metrics = await Promise.all(
      ports.map(async (port) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
    );
    expect(metrics.join()).toMatch(/orchestrator_service_calls_put_off_total\{target="slow_store"[^}]*\} [1-9]/);
    const tasks = await db.query('SELECT DISTINCT attempt, ended_attempt FROM task WHERE run_id = ANY($1)', [ids]);
    expect(tasks.rows).toEqual([{ attempt: 1, ended_attempt: 1 }]);
    await db.query('DROP TRIGGER see_use ON service_use; DROP FUNCTION see_use; DROP TABLE use_seen');
    expect((await db.query('SELECT id FROM service_turn')).rows).toEqual([]);
    expect((await db.query('SELECT key FROM service_rate')).rows).toEqual([{ key: 'slow_store' }]);
  });

  test('a redelivery finds the time that it was told, another attempt takes the next one, and what is over goes', async ({
    db,
  }) => {
    const turns = createServiceTurnStore(db);
    const other = createServiceTurnStore(db);
    const ask = { key: 'rare', limit: { max: 1, perMs: 60_000 } };
    const together = await Promise.all([turns.take({ ...ask, id: 'a.1' }), other.take({ ...ask, id: 'b.1' })]);
    // Two workers at the same moment: only one is let through.
    expect(together.map(({ waitMs }) => waitMs > 0).sort()).toEqual([false, true]);
    const late = together[0].waitMs > 0 ? 'a.1' : 'b.1';
    const told = Math.max(...together.map(({ until }) => until.getTime()));
    expect((await other.take({ ...ask, id: late })).until.getTime()).toBe(told);
    expect((await turns.take({ ...ask, id: 'c.2' })).until.getTime()).toBeGreaterThanOrEqual(told + 59_000);

    for (const table of ['service_use', 'service_turn'])
      await db.query(`UPDATE ${table} SET expires_at = now() - interval '1 second' WHERE key = 'rare'`);
    await createExpiryStore(db).removeExpired(100);
    const { rows } = await db.query(
      `SELECT key FROM service_use WHERE key = 'rare' UNION ALL SELECT key FROM service_turn WHERE key = 'rare'`,
    );
    expect(rows).toEqual([]);
    expect((await turns.take({ ...ask, id: late })).waitMs).toBeGreaterThan(0);
  });
});
