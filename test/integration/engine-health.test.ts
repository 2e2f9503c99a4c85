/** `GET /workflows/health`: what an operator sees of the engine. */
import { describe, expect } from 'vitest';
import type { z } from 'zod';
import { engineHealth } from '../../src/schemas/engine-health.ts';
import { accepted, type Client } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

type Health = z.infer<typeof engineHealth>;
const read = async (api: Client): Promise<Health> =>
  engineHealth.parse(accepted(await api.get('/workflows/health'), 200).body);
const lane = (health: Health, name: string) => health.lanes.find((one) => one.lane === name);

/** Waits for a report in which it is so: a report is kept for a second. */
async function reports(api: Client, isSo: (health: Health) => boolean): Promise<Health> {
  let last: Health | undefined;
  await until(async () => {
    last = await read(api);
    return isSo(last);
  }).catch((error: unknown) => {
    throw new Error(`the last report was ${JSON.stringify(last)}`, { cause: error });
  });
  return read(api);
}

describe.each(onBothBackends({ worker: { WORKER_CONCURRENCY: '2' } }))(
  'the health of the engine on $backend',
  ({ test }) => {
    test('an idle engine is healthy: a worker serves every lane, the sweep passes, nothing is stuck', async ({
      api,
    }) => {
      const health = await reports(api, ({ status }) => status === 'healthy');
      expect(health).toMatchObject({
        service: 'workflow_management',
        database_connected: true,
        queue_connected: true,
        stuck_executions: 0,
      });
      expect(health.workers).toMatchObject([{ alive: true }]);
      expect(lane(health, 'test_task')).toMatchObject({ workers: 1 });
      expect(health.sweep?.age_seconds).toBeLessThan(10);
    });

    test('what waits, runs and sleeps is counted in its lane', async ({ api }) => {
      const id = await api.createWorkflow(workflow([echo('a', [], { duration: 4 }), echo('b', ['a'])]));
      const runs = await Promise.all(Array.from({ length: 5 }, () => api.execute(id)));
      const busy = await reports(api, (health) => {
        const found = lane(health, 'test_task');
        return found?.active === 2 && found.depth === 3 && health.active_executions >= 2;
      });
      expect(lane(busy, 'test_task')?.oldest_waiting_seconds).toBeGreaterThan(0);
      expect(busy.active_executions + busy.queued_executions).toBe(5);
      for (const run of runs) await api.post(`/workflows/executions/${run}/cancel`);
      await reports(api, (health) => lane(health, 'test_task')?.depth === 0 && health.active_executions === 0);
    });

    test('a run that nothing moves is stuck, and one that sleeps is not', async ({ api, db }) => {
      const asleep = await api.execute(
        await api.createWorkflow(workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds: 600 } }])),
      );
      await reports(api, (health) => lane(health, 'wait')?.delayed === 1);
      const { rows } = await db.query<{ id: string }>(
        `INSERT INTO run (id, tenant_id, user_id, parameters, status, inline, created_at, check_at)
       VALUES ('stuck', 'nobody', 'u', '{}', 'queued', '{"action_type": "test_task"}', now() - interval '1 hour', now() + interval '1 hour')
       RETURNING id`,
      );
      await db.query(`UPDATE run SET created_at = now() - interval '1 hour' WHERE id = $1`, [asleep]);
      await db.query(`UPDATE task SET updated_at = now() - interval '1 hour' WHERE run_id = $1`, [asleep]);
      const health = await reports(api, ({ stuck_executions }) => stuck_executions > 0);
      expect(health).toMatchObject({ status: 'degraded', stuck_executions: 1 });
      expect(health.problems).toContain('1 executions have not moved for 10 minutes');
      await db.query('DELETE FROM run WHERE id = $1', [rows[0]?.id]);
      await api.post(`/workflows/executions/${asleep}/cancel`);
      await api.ended(asleep);
    });

    test('what the reconciler repairs is told, and a worker that leaves is gone', async ({ api, stack }) => {
      const before = (await read(api)).sweep?.dispatched_total ?? 0;
      const run = await api.assign({ task_type: 'test_task', delay_seconds: 0.1 });
      await api.ended(run);
      await reports(api, ({ sweep }) => (sweep?.dispatched_total ?? 0) > before);
      await stack.db.query(`INSERT INTO worker (id, lanes, version, active_tasks, loop_lag_ms, started_at, seen_at)
      VALUES ('other', '{test_task}', '0', 0, 0, now(), now() - interval '1 minute')`);
      const health = await reports(api, ({ workers }) => workers.length === 2);
      expect(health.workers.find(({ worker }) => worker === 'other')).toMatchObject({ alive: false });
      expect(lane(health, 'test_task')).toMatchObject({ workers: 1 });
    });
  },
);
