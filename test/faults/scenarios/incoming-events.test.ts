/** An API that dies with an event in hand. */
import { describe, expect } from 'vitest';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

const [, onPostgres] = onBothBackendsInProcesses();
if (onPostgres === undefined) throw new Error('there is no second backend');
const { test } = onPostgres;

describe('an event from outside', () => {
  test('is followed by a worker when the API is killed at incoming.afterCommit, and starts nothing twice', async ({
    api,
    db,
    processes,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'incoming.afterCommit:exit' });
    const id = await api.createWorkflow(workflow([echo('a')], { triggers: [{ event: 'order.paid' }] }));
    const event = { specversion: '1.0', id: '1', source: '/shop', type: 'order.paid' };
    await expect(api.post('/events', event)).rejects.toThrow();
    await hasEnded(first);
    expect((await db.query('SELECT FROM run')).rowCount).toBe(0);
    await processes.compose('api');
    await processes.compose('worker', ONE_AT_A_TIME);
    // Its lease is over, sooner than it would be.
    await db.query(`UPDATE incoming_event SET due_at = now() - interval '1 second'`);
    await until(async () => (await db.query('SELECT FROM run')).rowCount === 1);
    await until(async () => (await db.query('SELECT FROM incoming_event WHERE due_at IS NULL')).rowCount === 1);
    const again = await api.post('/events', event);
    const { rows } = await db.query<{ id: string }>('SELECT id FROM run');
    expect(again).toMatchObject({
      status: 202,
      body: { accepted: 0, repeated: 1, started: [{ event_id: '1', workflow_id: id, execution_id: rows[0]?.id }] },
    });
    await api.finished(rows[0]?.id ?? '');
    expect((await db.query('SELECT FROM run')).rowCount).toBe(1);
  });
});
