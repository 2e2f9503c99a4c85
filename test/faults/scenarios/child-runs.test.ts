/** A parent and its child: the process that died between two steps of the one or of the other. */
import { describe, expect } from 'vitest';
import type { Client } from '../../harness/client/client.ts';
import type { Service } from '../../harness/services/service.ts';
import { until } from '../../harness/until.ts';
import { taskOf } from '../../support/expect-answers.ts';
import { onBothBackendsInProcesses, processesTest } from '../../support/processes.ts';
import { calling, extraCalls, hasEnded } from '../../support/scenario.ts';
import { workflow } from '../../support/test-task.ts';

/** A task whose child calls the service twice, and one more call after it. */
async function family(api: Client, service: Service): Promise<string> {
  const child = await api.createWorkflow(workflow([calling(service, 'a'), calling(service, 'b', ['a'])]));
  return api.createWorkflow(
    workflow([
      { action_id: 'sub', action_type: 'workflow', config: { workflow_id: child } },
      calling(service, 'after', ['sub']),
    ]),
  );
}
const CALLS = 3;
const RUNS = 2;

describe.each(onBothBackendsInProcesses())('a parent and its child on $backend', ({ test }) => {
  test('a worker that is killed with a child in the queue, and one that is killed between its end and the wake, have begun one child', async ({
    api,
    processes,
    service,
    db,
  }) => {
    await processes.compose('api');
    const first = await processes.start('worker', { FAILPOINTS: 'child.afterAdd:exit' });
    const run = await api.execute(await family(api, service));
    await hasEnded(first);
    const second = await processes.start('worker', { FAILPOINTS: 'child.beforeWake:exit' });
    await hasEnded(second);
    await processes.compose('worker');
    expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 2 } });
    expect((await db.query('SELECT 1 FROM run')).rowCount).toBe(RUNS);
    expect(service.calls).toHaveLength(CALLS);
    expect(extraCalls(service)).toBe(0);
  });

  test('an API that is killed in the cancellation of a parent has cancelled the child too', async ({
    api,
    processes,
    db,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'cancel.afterStatus:exit' });
    await processes.compose('worker');
    const pause = { action_id: 'pause', action_type: 'wait', config: { seconds: 600 } };
    const child = await api.createWorkflow(workflow([pause]));
    const sub = { action_id: 'sub', action_type: 'workflow', config: { workflow_id: child } };
    const run = await api.execute(await api.createWorkflow(workflow([sub])));
    await until(async () => (await db.query(`SELECT 1 FROM task WHERE status = 'waiting'`)).rowCount === 2, {
      what: 'the parent waits for its child, and that one for its time',
    });
    await expect(api.post(`/workflows/executions/${run}/cancel`)).rejects.toThrow();
    await hasEnded(first);
    await processes.compose('api');
    const found = await api.finished(run);
    expect(found).toMatchObject({ status: 'cancelled', tasks: [{ child: { status: 'cancelled' } }] });
    const ends = await db.query('SELECT id FROM run WHERE final ORDER BY finished_at');
    expect(ends.rows.map(({ id }) => id)).toEqual([taskOf(found, 'sub').child?.execution_id, run]);
  });
});

const ownRedis = processesTest('redis', { ownRedis: true });

ownRedis(
  'Redis forgets everything while parents wait for their children: all of them end',
  async ({ api, processes, service, db }) => {
    let open = false;
    service.answer(async () => {
      await until(() => open);
      return { body: { ok: true } };
    });
    await processes.compose('api');
    await processes.compose('worker');
    const parent = await family(api, service);
    const runs = await Promise.all(Array.from({ length: 3 }, () => api.execute(parent)));
    await until(async () => (await db.query(`SELECT 1 FROM task WHERE status = 'waiting'`)).rowCount === runs.length);
    await until(() => service.calls.length === runs.length);
    await processes.redis?.flushall();
    open = true;
    for (const run of runs) expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect((await db.query('SELECT 1 FROM run')).rowCount).toBe(runs.length * RUNS);
  },
);
