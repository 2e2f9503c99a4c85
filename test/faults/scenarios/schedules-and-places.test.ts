/** Processes that die in what is between runs: the slot of a schedule, a place in a group, a turn at a service. */
import { describe, expect } from 'vitest';
import { z } from 'zod';
import { accepted, field } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { calling, hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, type TestAction, workflow } from '../../support/test-task.ts';

const SLOTS = 3;
const schedule = z.object({ recent: z.array(z.object({ slot: z.string(), status: z.string() })) });
const COMPLETED = { status: 'completed' };

describe.each(onBothBackendsInProcesses())('a schedule on $backend', ({ test }) => {
  test('whose worker is killed when a run is accepted has begun each slot once', async ({ api, processes, db }) => {
    await processes.compose('api');
    const workflow_id = await api.createWorkflow(workflow([echo('a')]));
    const timing = { name: 'each second', workflow_id, interval_seconds: 1, overlap: 'allow' };
    const id = field(accepted(await api.post('/schedules', timing), 201), 'schedule_id');
    await hasEnded(await processes.start('worker', { FAILPOINTS: 'api.afterInsert:exit' }));
    await processes.compose('worker');
    const begun = async () => {
      const { recent } = schedule.parse(accepted(await api.get(`/schedules/${id}`), 200).body);
      return recent.filter(({ status }) => status === 'started').map(({ slot }) => slot);
    };
    await until(async () => (await begun()).length >= SLOTS, { what: 'slots are started' });
    accepted(await api.post(`/schedules/${id}/pause`), 200);
    const { rows } = await db.query<{ id: string; slot: string }>(
      `SELECT id, replace(idempotency_key, $2, '') AS slot FROM run WHERE correlation_id = $1 ORDER BY 2 DESC`,
      [id, `schedule:${id}:`],
    );
    expect(rows.map(({ slot }) => slot)).toEqual(await begun());
    for (const run of rows) expect(await api.ended(run.id)).toMatchObject(COMPLETED);
    accepted(await api.send('DELETE', `/schedules/${id}`), 204);
  });
});

describe.each(onBothBackendsInProcesses())('a group of runs on $backend', ({ test }) => {
  const grouped = (policy: string, actions: TestAction[]) => ({
    ...workflow(actions),
    concurrency: { key: 'one', limit: 1, policy },
  });

  test('whose workers are killed at the end of a run and when a place was given keeps none, and gives none twice', async ({
    api,
    processes,
    db,
  }) => {
    await processes.compose('api');
    // Two last actions, so that there is a finalizer.
    const id = await api.createWorkflow(grouped('queue', [echo('a', [], { duration: 0.05 }), echo('b')]));
    const first = await processes.start('worker', { FAILPOINTS: 'finalize.afterCommit:exit' });
    const runs = [await api.execute(id), await api.execute(id), await api.execute(id)];
    await hasEnded(first);
    await hasEnded(await processes.start('worker', { FAILPOINTS: 'places.afterGive:exit' }));
    await processes.compose('worker');
    for (const run of runs) expect(await api.ended(run)).toMatchObject(COMPLETED);
    const { rows } = await db.query(
      `SELECT a.id FROM run a JOIN run b ON a.id < b.id AND a.started_at < b.finished_at AND b.started_at < a.finished_at`,
    );
    expect(rows).toEqual([]);
  });

  test('whose API is killed when a run has come in the place of another has cancelled what it replaced', async ({
    api,
    processes,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'api.afterInsert:exit@2' });
    await processes.compose('worker');
    const id = await api.createWorkflow(grouped('replace', [echo('a', [], { duration: 3_600 })]));
    const replaced = await api.execute(id);
    await until(async () => (await api.execution(replaced)).status === 'running');
    await expect(api.execute(id, {}, { 'Idempotency-Key': 'again' })).rejects.toThrow();
    await hasEnded(first);
    await processes.compose('api');
    expect(await api.finished(replaced)).toMatchObject({ status: 'cancelled' });
    const again = accepted(await api.post(`/workflows/${id}/execute`, {}, { 'Idempotency-Key': 'again' }), 202);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    const run = field(again, 'execution_id');
    await until(async () => (await api.execution(run)).status === 'running', { what: 'it has the place' });
    accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    await api.ended(run);
  });
});

const LIMIT = { SERVICE_RATE_LIMITS: 'slow=1/1s' };

describe.each(onBothBackendsInProcesses())('a call with a rate limit on $backend', ({ test }) => {
  test('whose worker is killed before it is made has lost its turn, and takes another', async ({
    api,
    processes,
    service,
    db,
  }) => {
    const settings = { ...ONE_AT_A_TIME, ...LIMIT, SLOW_URL: service.url };
    await processes.compose('api', settings);
    const first = await processes.start('worker', { ...settings, FAILPOINTS: 'turn.afterTake:exit@2' });
    const config = { service: 'slow', endpoint: '/call' };
    const actions = ['a', 'b', 'c'].map((id) => ({ ...calling(service, id), action_type: 'service_call', config }));
    const run = await api.execute(await api.createWorkflow(workflow(actions)));
    await hasEnded(first);
    await processes.compose('worker', settings);
    expect(await api.finished(run)).toMatchObject(COMPLETED);
    expect(service.calls).toHaveLength(actions.length);
    const { rows } = await db.query('SELECT key, used::int FROM service_rate');
    expect(rows).toEqual([{ key: 'slow', used: actions.length + 1 }]);
  });
});
