/** The loss of workers that have Jobs on a cluster. */
import { afterAll, describe, expect } from 'vitest';
import { accepted } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { ends, isAlive, job, makeCluster } from '../support/cluster.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import { workflow } from '../support/test-task.ts';

const cluster = makeCluster();

afterAll(() => {
  expect(cluster.faults()).toBe('');
  cluster.remove();
});

/** By failpoint: between which steps. */
const KILLED = {
  'between the apply and the wait': 'kubernetes.afterApply',
  'between the end of the Job and its commit': 'worker.afterExecute',
};

describe.each(onBothBackendsInProcesses({ environment: { ...cluster.environment } }).slice(0, 1))(
  'kubernetes jobs and the loss of workers on $backend',
  ({ test }) => {
    const nameOf = (prefix: string) => until(() => cluster.names('jobs').find((one) => one.startsWith(prefix)));

    for (const [when, failpoint] of Object.entries(KILLED)) {
      test(`a worker that is killed ${when} leaves its Job to the next one, which applies none`, async ({
        api,
        processes,
      }) => {
        await processes.compose('api');
        const first = await processes.start('worker', { FAILPOINTS: `${failpoint}:exit` });
        const slug = failpoint.replaceAll(/\W/g, '-').toLowerCase();
        const id = await api.createWorkflow(workflow([job({ job_name: slug, command: ends(3_000) })]));
        const run = await api.execute(id);
        await first.ended;
        const name = await nameOf(`${slug}-`);
        const applied = cluster.callsOf('apply').length;
        await processes.start('worker');
        const ended = await api.finished(run);
        expect(taskOf(ended, 'job')).toMatchObject({
          ...{ status: 'completed', attempts: 1 },
          output: { job_name: name, waited: true, logs: expect.stringContaining('has run') },
        });
        expect(cluster.callsOf('apply').length).toBe(applied);
        expect(cluster.names('jobs').filter((one) => one.startsWith(slug))).toEqual([name]);
      });
    }

    test('a worker that is killed between the row and the apply has no Job, and the next one applies one', async ({
      api,
      processes,
      db,
    }) => {
      await processes.compose('api');
      const first = await processes.start('worker', { FAILPOINTS: 'kubernetes.beforeApply:exit' });
      const id = await api.createWorkflow(workflow([job({ job_name: 'row-only', command: ends(0) })]));
      const run = await api.execute(id);
      await first.ended;
      const rows = await db.query<{ name: string }>('SELECT name FROM kubernetes_job WHERE run_id = $1', [run]);
      expect(rows.rows).toEqual([{ name: expect.stringMatching(/^row-only-/) }]);
      const jobs = () => cluster.names('jobs').filter((one) => one.startsWith('row-only-'));
      expect(jobs()).toEqual([]);
      const name = rows.rows[0]?.name ?? '';
      await processes.start('worker');
      expect(taskOf(await api.finished(run), 'job')).toMatchObject({
        ...{ status: 'completed', attempts: 1 },
        output: { job_name: name, waited: true },
      });
      expect(jobs()).toEqual([name]);
      expect(cluster.names('podgroups').filter((one) => one.startsWith('row-only-'))).toEqual([name]);
    });

    test('the Job of a worker that is gone is removed by another one when its execution is cancelled', async ({
      api,
      processes,
    }) => {
      await processes.compose('api');
      const first = await processes.start('worker');
      const id = await api.createWorkflow(workflow([job({ job_name: 'left', command: ends(3_600_000) })]));
      const run = await api.execute(id);
      const name = await nameOf('left-');
      await until(() => cluster.callsOf('wait', name).length === 1);
      await first.end('SIGKILL');
      accepted(await api.post(`/workflows/executions/${run}/cancel`, {}), 202);
      expect(cluster.names('jobs')).toContain(name);
      await processes.start('worker');
      await until(() => !cluster.names('jobs').includes(name) && !cluster.names('podgroups').includes(name));
      expect((await api.finished(run)).status).toBe('cancelled');
      // Nobody ended this one with its worker.
      for (const { pid } of cluster.callsOf('wait', name)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    });
  },
);
