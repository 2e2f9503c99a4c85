/** The clock of the database was set back by an hour: what was written before it was must not wait for that hour. */
import { describe, expect } from 'vitest';
import { takeBackTimesAhead } from '../../src/store/times-ahead.ts';
import { accepted, field } from '../support/client.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';
import { until } from '../support/until.ts';

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
});
