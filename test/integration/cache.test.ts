/** `cache` of actions through the public door: a committed output serves later runs, for as long and for those it should. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { createExpiryStore } from '../../src/store/recover/expired.ts';
import { createOutputCache } from '../../src/store/tasks/output-cache.ts';
import { accepted, field, list } from '../harness/client/client.ts';
import type { Service } from '../harness/services/service.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { calling } from '../support/scenario.ts';
import { echo, workflow } from '../support/test-task.ts';

const CACHE = { key: '{{params.city}}', ttl_seconds: 3600 };
const weather = (service: Service, more: object = {}) =>
  workflow([calling(service, 'look', [], { cache: CACHE, ...more }), echo('say', [], { got: '{{look.body}}' })]);
const city = (name: string | null) => ({ parameters: { city: name } });

async function endAll(db: pg.Pool): Promise<void> {
  await db.query(`UPDATE output_cache SET expires_at = now() - interval '1 second'`);
}

describe.each(onBothBackends())('cached outputs on $backend', ({ test }) => {
  test('a later run with the same key gets the output without a call, and says so', async ({ api, service, db }) => {
    service.answer(() => ({ body: { call: service.calls.length } }));
    const id = await api.createWorkflow(weather(service));
    const run = async (name: string | null) => api.finished(await api.execute(id, city(name)));
    const first = await run('Oslo');
    expect(taskOf(first, 'look')).not.toHaveProperty('cached');
    const second = await run('Oslo');
    expect(service.calls).toHaveLength(1);
    expect(taskOf(second, 'look')).toMatchObject({
      status: 'completed',
      cached: true,
      attempts: 1,
      output: taskOf(first, 'look').output,
      input: taskOf(first, 'look').input,
    });
    expect(second).toMatchObject({ status: 'completed', output: first.output });
    expect(taskOf(second, 'say')).not.toHaveProperty('cached');
    const events = list(
      await api.get(`/workflows/executions/${second.execution_id}/events`, { accept: 'application/json' }),
    );
    const details = events.map(({ event, data }) => [event, data]);
    expect(details).toContainEqual([
      'task.completed',
      expect.objectContaining({ action_id: 'look', details: { cached: true } }),
    ]);
    expect(details).toContainEqual(['task.completed', expect.objectContaining({ action_id: 'say', details: null })]);

    await run('Bergen');
    expect(service.calls).toHaveLength(2);
    // Without a key every run is on its own.
    await run(null);
    await run(null);
    expect(service.calls).toHaveLength(4);
    await endAll(db);
    expect(taskOf(await run('Oslo'), 'look')).toMatchObject({ output: { body: { call: 5 } } });
    expect(taskOf(await run('Oslo'), 'look')).toMatchObject({ cached: true, output: { body: { call: 5 } } });
    expect(service.calls).toHaveLength(5);
  });

  test('it is for this action of this workflow, as long as it does the same, and for this tenant', async ({
    api,
    service,
  }) => {
    const definition = weather(service);
    const id = await api.createWorkflow(definition);
    await api.finished(await api.execute(id, city('Oslo')));
    // A version that does the same at this place goes on with it, another one does not.
    await api.put(`/workflows/${id}`, { description: 'the same' });
    await api.finished(await api.execute(id, city('Oslo')));
    expect(service.calls).toHaveLength(1);
    const [look] = definition.actions;
    const changed = { actions: [{ ...look, config: { url: `${service.url}/v2`, method: 'POST', body: {} } }] };
    accepted(await api.put(`/workflows/${id}`, changed), 200);
    await api.finished(await api.execute(id, city('Oslo')));
    expect(service.calls.map(({ path }) => path)).toEqual(['/look', '/v2']);
    await api.finished(await api.execute(await api.createWorkflow(definition), city('Oslo')));
    expect(service.calls).toHaveLength(3);
  });

  test('what is run again by hand is executed, and its output takes the place of the one before', async ({
    api,
    service,
  }) => {
    service.answer(() => ({ body: { call: service.calls.length } }));
    const definition = weather(service);
    const bad = {
      action_id: 'bad',
      action_type: 'test_task',
      config: { fail_with: '{{params.bad}}' },
      retry: { max_attempts: 1 },
    };
    const id = await api.createWorkflow({
      ...definition,
      actions: [bad, { ...definition.actions[0], depends_on: ['bad'], run_if: 'all_done' }],
    });
    const parameters = { city: 'Oslo', bad: 'no' };
    const run = await api.finished(await api.execute(id, { parameters }));
    expect(await api.finished(await api.execute(id, { parameters }))).toMatchObject({ tasks: [{}, { cached: true }] });
    expect(service.calls).toHaveLength(1);
    accepted(await api.post(`/workflows/executions/${run.execution_id}/retry`), 202);
    const again = await api.finished(run.execution_id);
    expect(taskOf(again, 'look')).toMatchObject({ output: { body: { call: 2 } } });
    expect(taskOf(again, 'look')).not.toHaveProperty('cached');
    const next = await api.finished(await api.execute(id, { parameters }));
    expect(taskOf(next, 'look')).toMatchObject({ cached: true, output: { body: { call: 2 } } });
  });

  test('failures are not kept, and an output that another action made of it is the one of its run', async ({
    api,
    service,
  }) => {
    service.answer(() => ({ status: service.calls.length === 1 ? 400 : 200, body: { call: service.calls.length } }));
    const id = await api.createWorkflow(weather(service, { retry: { max_attempts: 1 } }));
    expect(await api.finished(await api.execute(id, city('Oslo')))).toMatchObject({ status: 'failed' });
    const second = await api.finished(await api.execute(id, city('Oslo')));
    const third = await api.finished(await api.execute(id, city('Oslo')));
    expect(service.calls).toHaveLength(2);
    expect(third).toMatchObject({ status: 'completed', output: second.output });
    expect(taskOf(third, 'say').output).toMatchObject({ got: { call: 2 } });
  });

  test('only a committed output is ever kept, the first one stays, and what is over goes', async ({ api, db }) => {
    await endAll(db);
    const run = await api.run(workflow([echo('a', [], { x: 1 }), echo('b', [], { x: 2 })]));
    const cache = createOutputCache(db);
    const { rows } = await db.query<{ action_id: string; commit_id: string }>(
      'SELECT action_id, commit_id FROM task WHERE run_id = $1',
      [run.execution_id],
    );
    const commitOf = (actionId: string) => rows.find(({ action_id: id }) => id === actionId)?.commit_id ?? '';
    const entry = (actionId: string, more: object = {}) => ({
      tenantId: 'default',
      key: 'k',
      ttlSeconds: 60,
      runId: run.execution_id,
      actionId,
      commitId: commitOf(actionId),
      ...more,
    });
    // A commit that was refused is in no row.
    await cache.store(entry('a', { commitId: '00000000-0000-4000-8000-000000000000' }));
    // Too late: its time is over already.
    await cache.store(entry('a', { ttlSeconds: 0.000001 }));
    expect(await cache.find({ tenantId: 'default', key: 'k' })).toBeUndefined();
    await Promise.all([cache.store(entry('a')), cache.store(entry('b')), cache.store(entry('a'))]);
    const kept = await cache.find({ tenantId: 'default', key: 'k' });
    await cache.store(entry('b'));
    expect(await cache.find({ tenantId: 'default', key: 'k' })).toBe(kept);
    await cache.store(entry('a'));
    expect(await cache.find({ tenantId: 'default', key: 'k' })).toBe(kept);
    expect(['{"x": 1}', '{"x": 2}']).toContain(kept);
    expect(await cache.find({ tenantId: 'another', key: 'k' })).toBeUndefined();
    await createExpiryStore(db).removeExpired(100);
    expect((await db.query('SELECT key FROM output_cache')).rows).toEqual([{ key: 'k' }]);
  });

  test('a definition whose key holds a secret, or whose action only waits, is refused', async ({ api }) => {
    const answer = await api.post(
      '/workflows',
      workflow([
        echo('a', [], {}, { cache: { key: '{{secrets.KEY}}', ttl_seconds: 1 } }),
        { action_id: 'b', action_type: 'wait', config: { seconds: 1 }, cache: { key: 'x', ttl_seconds: 1 } },
      ]),
    );
    expect(field(accepted(answer, 422), 'code')).toBe('definition_invalid');
    expect(list(answer, 'errors').map(({ path }) => path)).toEqual(['actions.0.cache.key', 'actions.1.cache']);
  });
});
