/** Versions through the public door: their difference, and a canary from its first share to its promotion or its end. */
import { describe, expect } from 'vitest';
import { accepted, type Client, field, list } from '../harness/client/client.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

const put = async (api: Client, id: string, body: object) => accepted(await api.put(`/workflows/${id}`, body), 200);
const show = async (api: Client, id: string, query = '') =>
  accepted(await api.get(`/workflows/${id}${query}`), 200).body;

/** How many executions each version got. */
async function begin(api: Client, id: string, count: number, more: (n: number) => object = () => ({})) {
  const items = Array.from({ length: count }, (_, n) => more(n));
  const begun = list(accepted(await api.post(`/workflows/${id}/executions`, { items }), 202));
  const runs = await Promise.all(begun.map((item) => api.finished(String(item['execution_id']))));
  return runs.map(({ workflow_version: version }) => version);
}

describe.each(onBothBackends())('versions on $backend', ({ test }) => {
  test('the difference of two versions, and what of it breaks others', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])], { output: { v: '{{b.x}}' } }));
    await put(api, id, {
      parameters: [{ name: 'order', type: 'string' }],
      actions: [echo('a', [], { url: 'new' }), echo('c', ['a'])],
      output: { w: '{{c.x}}' },
    });
    expect(accepted(await api.get(`/workflows/${id}/versions/1/diff/2`), 200).body).toMatchObject({
      workflow_id: id,
      from: 1,
      to: 2,
      identical: false,
      breaking: true,
      reasons: [{ path: 'parameters.order', message: 'is required now' }, { path: 'output.v' }, { path: 'actions.b' }],
      fields: [
        { path: 'output.v', old: '{{b.x}}' },
        { path: 'output.w', new: '{{c.x}}' },
      ],
      parameters: { added: [{ name: 'order' }], removed: [], changed: [] },
      actions: {
        added: [{ action_id: 'c' }],
        removed: [{ action_id: 'b' }],
        changed: [{ action_id: 'a', changes: [{ path: 'config.url', new: 'new' }] }],
      },
    });
    expect((await api.get(`/workflows/${id}/versions/2/diff/2`)).body).toMatchObject({
      identical: true,
      breaking: false,
    });
    for (const path of [
      `${id}/versions/1/diff/3`,
      `${id}/versions/0/diff/1`,
      `${id}/versions/x/diff/1`,
      'no/versions/1/diff/2',
    ])
      expectProblem(await api.get(`/workflows/${path}`), 404, 'not_found');
    expectProblem(await api.get(`/workflows/${id}/versions/1/diff/2`, { 'x-tenant-id': 'another' }), 404, 'not_found');
  });

  test('a canary gets its share, the same key the same version, and is counted by itself', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a')]));
    const changed = await put(api, id, { actions: [failing('a')], canary_percent: 30 });
    expect(changed.body).toMatchObject({ version: 2, current_version: 1, canary: { version: 2, percent: 30 } });
    expect(changed.headers.get('etag')).toBe('"1"');
    expect(await show(api, id)).toMatchObject({ version: 1, current_version: 1, canary: { version: 2, percent: 30 } });
    expect(await show(api, id, '?version=2')).toMatchObject({ version: 2, current_version: 1 });

    const keyed = (n: number) => ({ correlation_id: `order-${n}` });
    const first = await begin(api, id, 60, keyed);
    const share = first.filter((version) => version === 2).length;
    expect(share).toBeGreaterThan(5);
    expect(share).toBeLessThan(35);
    expect(await begin(api, id, 60, keyed)).toEqual(first);
    const body = { idempotency_key: `${id} key` };
    const run = await api.execution(await api.execute(id, body));
    const again = await api.execution(await api.execute(id, body));
    expect(again).toMatchObject({ execution_id: run.execution_id, workflow_version: run.workflow_version });
    // Who names a version gets it.
    expect(await api.finished(await api.execute(id, { version: 1 }))).toMatchObject({
      workflow_version: 1,
      status: 'completed',
    });
    expect(await api.finished(await api.execute(id, { version: 2 }))).toMatchObject({
      workflow_version: 2,
      status: 'failed',
    });

    const [newest, older] = list(await api.get(`/workflows/${id}/versions`));
    const onCanary = 2 * share + 1 + (run.workflow_version === 2 ? 1 : 0);
    expect(newest).toMatchObject({ version: 2, current: false, canary_percent: 30, runs: onCanary, success_rate: 0 });
    expect(older).toMatchObject({
      version: 1,
      current: true,
      canary_percent: null,
      runs: 123 - onCanary,
      failed: 0,
      success_rate: 1,
    });
    // By its name at the simple door too.
    accepted(await api.put(`/workflows/${id}/canary`, { version: 2, percent: 100 }), 200);
    const task = field(accepted(await api.post('/assign-task', { task_type: id }), 202), 'task_id');
    expect(await api.finished(task)).toMatchObject({ workflow_version: 2 });
  });

  test('a canary ends by being taken away or promoted, and its number is never given again', async ({ api, db }) => {
    const id = await api.createWorkflow(workflow([echo('a')], { description: 'one' }));
    const canary = (body: object) => api.put(`/workflows/${id}/canary`, body);
    const promote = () => api.post(`/workflows/${id}/canary/promote`);
    await put(api, id, { description: 'two', canary_percent: 100 });
    expect(new Set(await begin(api, id, 5))).toEqual(new Set([2]));
    accepted(await api.send('DELETE', `/workflows/${id}/canary`), 204);
    accepted(await api.send('DELETE', `/workflows/${id}/canary`), 204);
    expect(await show(api, id)).not.toHaveProperty('canary');
    expect(new Set(await begin(api, id, 5))).toEqual(new Set([1]));
    expectProblem(await promote(), 409, 'conflict');

    // The next change comes after the canary that was given up, and is made to the current version.
    expect((await put(api, id, { tags: ['t'] })).body).toMatchObject({
      version: 3,
      current_version: 3,
      description: 'one',
    });
    expectProblem(await canary({ version: 3, percent: 5 }), 409, 'conflict');
    expectProblem(await canary({ version: 4, percent: 5 }), 404, 'not_found');
    expectProblem(await canary({ version: 2, percent: 101 }), 400, 'invalid_request');
    expectProblem(await api.put('/workflows/no/canary', { version: 1, percent: 5 }), 404, 'not_found');
    expectProblem(await api.put(`/workflows/${id}`, { canary_percent: 5 }), 400, 'invalid_request');
    expectProblem(
      await api.put(`/workflows/${id}/canary`, { version: 2, percent: 5 }, { 'x-tenant-id': 'another' }),
      404,
      'not_found',
    );
    accepted(await canary({ version: 2, percent: 0 }), 200);
    // As a release before there were canaries left it.
    await db.query('UPDATE workflow SET newest_version = 1 WHERE id = $1', [id]);
    expect(new Set(await begin(api, id, 5))).toEqual(new Set([3]));
    expect(accepted(await promote(), 200).body).toMatchObject({
      version: 2,
      current_version: 2,
      description: 'two',
      tags: [],
    });
    expect(new Set(await begin(api, id, 5))).toEqual(new Set([2]));
    expect((await put(api, id, { description: 'four' })).body).toMatchObject({ version: 4, current_version: 4 });
    expect(accepted(await api.get(`/workflows/${id}/versions`), 200).body).toMatchObject({ total: 4 });

    // Canaries that are made at the same time are versions of their own; the last one stays.
    await Promise.all([5, 6, 7].map((n) => put(api, id, { description: `canary ${n}`, canary_percent: n })));
    expect(await show(api, id)).toMatchObject({ version: 4, canary: { version: 7 } });
    expect(list(await api.get(`/workflows/${id}/versions`)).map(({ version }) => version)).toEqual([
      7, 6, 5, 4, 3, 2, 1,
    ]);
  });
});
