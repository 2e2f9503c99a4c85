/** What is asked for all executions of a workflow is done, whoever dies in the middle. */
import { describe, expect } from 'vitest';
import { accepted } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { workflow } from '../../support/test-task.ts';

/** More than two pages. */
const RUNS = 250;

describe.each(onBothBackendsInProcesses())('an operation on all executions on $backend', ({ test }) => {
  test('goes on when the API is killed with it in hand and a worker in the middle of it, and takes hold at once', async ({
    api,
    db,
    processes,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'operation.afterPage:exit' });
    const id = await api.createWorkflow(
      workflow([{ action_id: 'long', action_type: 'wait', config: { seconds: 3_600 } }]),
    );
    const runs = Array.from({ length: RUNS }, () => ({ parameters: {} }));
    accepted(await api.post(`/workflows/${id}/executions`, { items: runs }), 202);
    const count = async (status: string) => {
      const { rows } = await db.query<{ n: number }>('SELECT count(*)::int AS n FROM run WHERE status = $1', [status]);
      return rows[0]?.n ?? 0;
    };
    await expect(api.post(`/workflows/${id}/pause`, { runs: 'pause', reason: 'repair' })).rejects.toThrow();
    await hasEnded(first);
    expect(await count('paused')).toBe(100);
    await processes.compose('api');
    expect(await api.post(`/workflows/${id}/execute`)).toMatchObject({ status: 409 });

    const second = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: 'operation.afterPage:exit@2' });
    await freeLease();
    await hasEnded(second);
    await processes.compose('worker');
    await freeLease();
    await until(async () => (await count('paused')) === RUNS);
    // As long as somebody holds it the next one begins nothing.
    await until(
      async () => (await db.query(`SELECT FROM control_operation WHERE status <> 'completed'`)).rowCount === 0,
    );

    // Resumed and deleted the same way: small enough is done at once, large is told of.
    const resumed = accepted(await api.post(`/workflows/${id}/resume`, { runs: 'resume' }), 202);
    expect(resumed.body).toMatchObject({
      status: 'active',
      executions: 100,
      operation: { kind: 'resume', executions: { total: RUNS, done: 100 } },
    });
    await through((resumed.body as { operation: { links: { self: string } } }).operation);
    expect(await count('paused')).toBe(0);
    const deleted = accepted(await api.send('DELETE', `/workflows/${id}?force=true`), 202);
    expect(deleted.body).toMatchObject({ kind: 'cancel', executions: { total: RUNS } });
    await through(deleted.body as { links: { self: string } });
    await until(async () => (await count('cancelled')) === RUNS);

    /** Whoever held it is gone; its lease would end by itself. */
    async function freeLease(): Promise<void> {
      await db.query(
        `UPDATE control_operation SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL`,
      );
    }

    async function through({ links }: { links: { self: string } }): Promise<void> {
      const found = await until(async () => {
        const { body } = await api.get(links.self);
        return (body as { status: string }).status === 'completed' ? body : undefined;
      });
      expect(found).toMatchObject({ executions: { total: RUNS, done: RUNS, skipped: 0, failed: 0 }, error: null });
    }
  });
});
