/** A worker that dies while it erases what is kept of a tenant. */
import { describe, expect } from 'vitest';
import { RUN_TABLES, TENANT_TABLES } from '../../../src/features/erasure/tables.ts';
import { accepted, field, openClient } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

// The queue does not matter here.
const ONE = onBothBackendsInProcesses().slice(0, 1);

describe.each(ONE)('an erasure and a worker on $backend', ({ test }) => {
  test('a worker that is killed between two batches has it ended by another, and nothing is left', async ({
    api: any,
    db,
    processes,
  }) => {
    const { port } = await processes.start('api');
    const api = openClient(`http://127.0.0.1:${port}`, { 'x-tenant-id': 'gone', 'x-user-id': 'anna' });
    const first = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: 'erase.afterBatch:exit@2' });
    const id = await api.createWorkflow(workflow([echo('a')]));
    for (const run of await Promise.all([api.execute(id), api.execute(id)])) await api.finished(run);
    const others = await any.finished(await any.execute(await any.createWorkflow(workflow([echo('a')]))));
    const erasure = field(accepted(await api.send('DELETE', '/tenants/gone/data'), 202), 'erasure_id');
    await hasEnded(first);
    const found = async () =>
      accepted(await api.get(`/tenants/gone/erasures/${erasure}`), 200).body as { status: string; removed: object };
    expect(await found()).toMatchObject({ status: 'running', removed: { run: 2 } });
    expect(await left()).not.toEqual([]);

    await processes.compose('worker', ONE_AT_A_TIME);
    await until(async () => (await found()).status === 'completed', { what: 'everything is erased' });
    expect(await left()).toEqual([]);
    expect((await found()).removed).toMatchObject({ run: 2, task: 2, workflow: 1 });
    expect((await any.execution(others.execution_id)).tasks).toHaveLength(1);

    async function left(): Promise<string[]> {
      const tables: string[] = [];
      for (const table of ['run', ...Object.keys(TENANT_TABLES)]) {
        const { rowCount } = await db.query(`SELECT FROM ${table} WHERE tenant_id = 'gone'`);
        if (rowCount !== 0) tables.push(table);
      }
      for (const table of Object.keys(RUN_TABLES)) {
        const { rowCount } = await db.query(
          `SELECT FROM ${table} t WHERE NOT EXISTS (SELECT FROM run r WHERE r.id = t.run_id)`,
        );
        if (rowCount !== 0) tables.push(table);
      }
      return tables;
    }
  });
});
