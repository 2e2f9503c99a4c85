/** The doors for operators that the older platform has: sagas and traces of what really ran. */
import { describe, expect } from 'vitest';
import { accepted, type Client, expectProblem, openClient } from '../support/client.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

// The queue does not matter here.
const ONE = onBothBackends().filter(({ backend }) => backend === 'redis');
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });
const read = async (api: Client, path: string) =>
  accepted(await api.get(`/infrastructure/${path}`), 200).body as Record<string, unknown>; // Every answer is an object.

describe.each(ONE)('sagas of the older platform on $backend', ({ test }) => {
  test('a saga is found by the id of its execution, with its steps and how each was undone', async ({ api: any }) => {
    const api = tenant(any, 'sagas');
    const stats = (hours = '') => read(api, `saga/stats${hours}`);
    const NONE = { total_sagas: 0, active_sagas: 0, completed_sagas: 0, failed_sagas: 0, compensated_sagas: 0 };
    expect(await stats()).toEqual({ ...NONE, avg_completion_time: 0, since: null });
    const undo = { compensate: { action_type: 'test_task', config: {} } };
    const plain = await api.run(workflow([echo('one')]));
    const well = await api.run(workflow([echo('one', [], {}, undo)]));
    const undone = await api.execute(
      await api.createWorkflow(
        workflow([echo('order', [], {}, undo), failing('ship', ['order']), echo('mail', ['ship'])]),
      ),
      { correlation_id: 'order-7' },
    );
    await api.ended(undone);
    const nothing = await api.run(workflow([failing('order', [], undo)]));
    const held = await api.execute(
      await api.createWorkflow(
        workflow([{ action_id: 'hold', action_type: 'approval', config: {}, depends_on: [], ...undo }]),
      ),
    );
    const NEVER = { attempts: 0, started_at: null, completed_at: null, error_message: null };
    const ENDED = { attempts: 1, started_at: TIME, completed_at: TIME, error_message: null };
    expect(await read(api, `saga/${undone}`)).toEqual({
      saga_id: undone,
      correlation_id: 'order-7',
      status: 'compensated',
      steps: [
        {
          ...{ step_id: 'order', name: 'order', action_type: 'test_task', status: 'completed', ...ENDED },
          compensation: { action_type: 'test_task', status: 'completed', ...ENDED },
        },
        {
          ...{ step_id: 'ship', name: 'ship', action_type: 'test_task', status: 'failed', ...ENDED },
          ...{ error_message: 'ship failed', compensation: null },
        },
        {
          ...{ step_id: 'mail', name: 'mail', action_type: 'test_task', status: 'upstream_failed', ...ENDED },
          ...{ started_at: null, compensation: null },
          error_message: "'ship' did not complete",
        },
      ],
      created_at: TIME,
      completed_at: TIME,
      error_message: 'ship failed',
    });
    expect(await read(api, `saga/${nothing.execution_id}`)).toMatchObject({
      status: 'failed',
      steps: [{ status: 'failed', compensation: { action_type: 'test_task', status: 'not_begun', ...NEVER } }],
    });
    expect(await stats()).toEqual({
      ...{ total_sagas: 4, active_sagas: 1, completed_sagas: 1, failed_sagas: 1, compensated_sagas: 1 },
      avg_completion_time: expect.any(Number),
      since: well.created_at,
    });
    for (const [who, id] of [
      [api, plain.execution_id],
      [api, 'unknown'],
      [api, 'x'.repeat(256)],
      [tenant(any, 'other'), undone],
    ] as const) {
      const answer = await who.get(`/infrastructure/saga/${id}`);
      expectProblem(answer, 404, 'not_found');
      expect(answer.body).toMatchObject({ detail: 'Saga not found' });
    }
    expect(await read(tenant(any, 'other'), 'saga/stats')).toMatchObject(NONE);
    expectProblem(await api.get('/infrastructure/saga/stats?hours=0'), 400, 'invalid_request');
    accepted(await api.post(`/workflows/executions/${held}/approve`, { action_id: 'hold' }), 202);
    expect(await api.finished(held)).toMatchObject({ status: 'completed' });
    expect(await stats('?hours=1')).toMatchObject({ total_sagas: 4, active_sagas: 0, completed_sagas: 2 });
  });
});
