/** A table of the hot path is changed while an API and a worker serve it, and while somebody holds a lock. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect } from 'vitest';
import { migrate } from '../../src/store/migrations/migrate.ts';
import { accepted, field } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { migrationsFolder } from '../support/migrations-folder.ts';
import { echo, workflow } from '../support/test-task.ts';

/** Of each who makes requests: together they make some eighty a second. */
const PAUSE_MS = 50;
const HELD = ['attempt', 'event'];
const NEXT_RELEASE = {
  '29991231_first': 'ALTER TABLE attempt ADD COLUMN note text;',
  '29991231_second': 'ALTER TABLE event ADD COLUMN note text;',
};

describe.each(onBothBackends({ workers: 0 }))('an upgrade under load on $backend', ({ test }) => {
  test('refuses no request and loses nothing', async ({ api, db, stack }) => {
    await stack.add('worker');
    const id = await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])]));
    const before = await api.execute(id);
    await api.ended(before);

    const runs: string[] = [before];
    let stop = false;
    const traffic = Array.from({ length: 4 }, async () => {
      while (!stop) {
        const run = String(field(accepted(await api.post(`/workflows/${id}/execute`, {}), 202), 'execution_id'));
        runs.push(run);
        // A page that reads the history too.
        expect((await api.get(`/workflows/executions/${run}`)).status).toBe(200);
        // As many as a migration takes the machine for would only be waited for afterwards.
        await sleep(PAUSE_MS);
      }
    });
    const holder = new pg.Client({ connectionString: stack.databaseUrl });
    await holder.connect();
    try {
      await until(() => runs.length > 20);
      await holder.query('BEGIN');
      for (const table of HELD) await holder.query(`SELECT 1 FROM ${table} LIMIT 1`);
      const migrating = migrate(stack.databaseUrl, await migrationsFolder({ extra: NEXT_RELEASE }));
      await until(
        async () =>
          (await db.query('SELECT 1 FROM pg_locks WHERE NOT granted AND relation = ANY($1::regclass[])', [HELD]))
            .rowCount,
        { what: 'the migration waits for the lock' },
      );
      const atOnce = runs.length;
      await until(() => runs.length > atOnce + 20, { what: 'requests are answered while it waits' });
      await holder.query('COMMIT');
      expect(await migrating).toEqual(Object.keys(NEXT_RELEASE));
      const after = runs.length;
      await until(() => runs.length > after + 20);
    } finally {
      stop = true;
      await holder.end();
      await Promise.all(traffic);
    }

    for (const run of runs) expect(await api.ended(run)).toMatchObject({ status: 'completed' });
    const { rows } = await db.query(
      `SELECT (SELECT count(*)::int FROM attempt) AS attempts, (SELECT count(*)::int FROM event WHERE run_id = $1) AS told,
              (SELECT count(*)::int FROM event WHERE kind = 'task.completed') AS completed`,
      [before],
    );
    expect(rows).toEqual([{ attempts: 2 * runs.length, told: 3, completed: 2 * runs.length }]);
  });
});
