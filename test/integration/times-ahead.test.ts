/** The clock of the database was set back by an hour: what was written before it was must not wait for that hour. */
import { describe, expect } from 'vitest';
import { takeBackTimesAhead } from '../../src/store/recover/times-ahead.ts';
import { accepted, field } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

/** As it is after the clock was set back: everything was written by a clock that was an hour ahead. */
const AN_HOUR_AGO_AHEAD = [
  `UPDATE task SET updated_at = updated_at + interval '1 hour', started_at = started_at + interval '1 hour', wake_at = wake_at + interval '1 hour' WHERE NOT final`,
  `UPDATE run SET created_at = created_at + interval '1 hour', check_at = check_at + interval '1 hour',
     due_at = due_at + interval '1 hour', deadline_at = deadline_at + interval '1 hour' WHERE NOT final`,
  `UPDATE schedule SET last_slot_at = last_slot_at + interval '1 hour', due_at = due_at + interval '1 hour'`,
];
const LEFT = `
SELECT t.status, round(extract(epoch FROM t.wake_at - now()))::int AS wait, round(extract(epoch FROM r.deadline_at - now()))::int AS deadline,
       r.check_at <= now() + interval '1 minute' AS checked_soon, r.created_at <= now() AS created
FROM run r JOIN task t ON t.run_id = r.id WHERE r.id = $1 AND t.action_id = 'pause'`;

describe.each(onBothBackends())('on $backend', ({ test }) => {
  test('a wait, a deadline and a delay have left what they had, and a schedule goes on', async ({ api, db }) => {
    const waiting = workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds: 600 } }]);
    const id = await api.createWorkflow({ ...waiting, timeout_seconds: 900 });
    const run = await api.execute(id);
    await until(async () => (await db.query<{ wait: number }>(LEFT, [run])).rows[0]?.wait !== undefined);
    const later = await api.execute(await api.createWorkflow(workflow([echo('later')])), { delay_seconds: 300 });
    const often = {
      name: 'often',
      workflow_id: await api.createWorkflow(workflow([echo('slot')])),
      interval_seconds: 1,
    };
    const schedule = field(accepted(await api.post('/schedules', often), 201), 'schedule_id');

    for (const statement of AN_HOUR_AGO_AHEAD) await db.query(statement);
    const slots = async () => (await db.query(`SELECT FROM run WHERE idempotency_key LIKE 'schedule:%'`)).rowCount ?? 0;
    const before = await slots();
    expect(await takeBackTimesAhead(db)).toBe(true);
    await until(async () => (await slots()) > before, { what: 'the schedule begins a run' });
    accepted(await api.send('DELETE', `/schedules/${schedule}`), 204);

    // What was taken back is not taken back again.
    expect(await takeBackTimesAhead(db)).toBe(true);
    const { rows } = await db.query(LEFT, [run]);
    expect(rows).toEqual([
      {
        status: 'waiting',
        ...{ wait: expect.any(Number), deadline: expect.any(Number), checked_soon: true, created: true },
      },
    ]);
    const [left] = rows as Array<{ wait: number; deadline: number }>;
    expect(left?.wait).toBeGreaterThan(400);
    expect(left?.wait).toBeLessThanOrEqual(601);
    expect(left?.deadline).toBeGreaterThan(700);
    expect(left?.deadline).toBeLessThanOrEqual(901);
    const due = await db.query<{ left: number }>(
      'SELECT round(extract(epoch FROM due_at - now()))::int AS left FROM run WHERE id = $1',
      [later],
    );
    expect(due.rows[0]?.left).toBeGreaterThan(100);
    expect(due.rows[0]?.left).toBeLessThanOrEqual(301);
    for (const each of [run, later]) accepted(await api.post(`/workflows/executions/${each}/cancel`), 202);
    await api.ended(run);
    await api.ended(later);
  });

  test('an operation on all executions goes on, whether it waited or was in the hands of somebody', async ({
    api,
    db,
  }) => {
    for (const [asked, lease] of [
      [`now() + interval '1 hour'`, 'NULL'],
      [`now() - interval '1 minute'`, `now() + interval '1 hour 1 minute'`],
    ]) {
      const id = await api.createWorkflow(
        workflow([{ action_id: 'wait', action_type: 'wait', config: { seconds: 600 } }]),
      );
      const run = await api.execute(id);
      await db.query(
        `INSERT INTO control_operation (id, tenant_id, workflow_id, kind, requested_by, total, expires_at, due_at, requested_at, lease, lease_until)
         VALUES ($1, 'default', $1, 'cancel', 'anonymous', 1, now() + interval '30 days', ${asked}, ${asked}, 'somebody', ${lease})`,
        [id],
      );
      expect(await takeBackTimesAhead(db)).toBe(true);
      expect(await api.ended(run)).toMatchObject({ status: 'cancelled' });
    }
  });

  test('a service is checked and expires, and a peer is talked to, as they would have been', async ({
    api,
    db,
    service,
  }) => {
    const plant = {
      name: 'plant',
      base_url: service.url,
      ttl_seconds: 100,
      health_check: { path: '/health', interval_seconds: 600 },
    };
    accepted(await api.post('/registry/register', plant), 200);
    const checks = () => service.calls.filter(({ path }) => path === '/health').length;
    await until(() => checks() === 1);
    const CHECKED = `SELECT FROM service_instance WHERE checked_at IS NOT NULL`;
    await until(async () => (await db.query(CHECKED)).rowCount === 1);
    await db.query(
      `UPDATE service_instance SET check_at = check_at + interval '1 hour', checked_at = checked_at + interval '1 hour',
         heartbeat_at = heartbeat_at + interval '1 hour', expires_at = expires_at + interval '1 hour'`,
    );
    await db.query(`INSERT INTO peer (url, next_at) VALUES ('http://peer.test', now() + interval '1 hour 1 minute')`);
    expect(await takeBackTimesAhead(db)).toBe(true);
    await until(() => checks() === 2, { what: 'the service is checked again' });
    const { rows } = await db.query(
      `SELECT extract(epoch FROM expires_at - now())::float8 AS left, (SELECT next_at <= now() FROM peer) AS due FROM service_instance`,
    );
    expect(rows).toEqual([{ left: expect.any(Number), due: true }]);
    expect(rows[0].left).toBeLessThanOrEqual(100);
    expect(rows[0].left).toBeGreaterThan(0);
  });
});
