/** The service's own workflows, through the public door. */
import { describe, expect } from 'vitest';
import type { Definition } from '../../src/domain/definition/definition.ts';
import { systemWorkflowId } from '../../src/engine/accept/system-workflows.ts';
import { createSystemWorkflowStore } from '../../src/store/runs/system-workflow-store.ts';
import { accepted, list } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { NOBODY, register } from '../support/registered.ts';

const [onRedis] = onBothBackends();
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

describe.each([onRedis].filter((one) => one !== undefined))('workflows of the service on $backend', ({ test }) => {
  test('a job is an execution that can be seen, of a workflow that users’ lists do not show', async ({
    api,
    service,
  }) => {
    const quality = { items: [{ id: 'a', flags: ['stale'] }, { id: 'b', flags: [] }, { id: 'c' }] };
    service.answer(() => ({ body: quality }));
    await register(api, { doc_store: service.url });
    const own = await api.createWorkflow({
      name: 'system:recalc_quality',
      actions: [{ action_id: 'mine', action_type: 'test_task' }],
    });
    const headers = { 'X-Correlation-ID': 'weekly', 'Idempotency-Key': 'job-1' };
    const answers = await Promise.all([1, 2, 3].map(() => api.post('/jobs/recalc-quality', undefined, headers)));
    const first = answers[0];
    for (const answer of answers) {
      expect({ status: answer.status, body: answer.body }).toEqual({
        status: 200,
        body: { status: 'success', flagged: 1, timestamp: ISO },
      });
      expect(answer.body).toEqual(first?.body);
    }
    const id = first?.headers.get('x-execution-id') ?? '';
    expect(answers.map((answer) => answer.headers.get('location'))).toEqual(
      answers.map(() => `/workflows/executions/${id}`),
    );
    expect(service.calls.map(({ method, path }) => `${method} ${path}`)).toEqual(['GET /documents/quality']);
    expect(service.calls[0]?.headers).toMatchObject({ 'x-correlation-id': 'weekly' });
    const run = await api.execution(id);
    expect(run).toMatchObject({ status: 'completed', workflow_version: 1, correlation_id: 'weekly' });
    expect(run.workflow_id).toBe(systemWorkflowId('default', 'recalc_quality'));

    expect(list(await api.get('/workflows')).map(({ workflow_id }) => workflow_id)).toEqual([own]);
    expect(list(await api.get('/workflows?tag=system'))).toEqual([
      expect.objectContaining({
        workflow_id: run.workflow_id,
        name: 'system:recalc_quality',
        tags: ['system'],
        created_by: 'system',
        version: 1,
      }),
    ]);
    // By name a user's own comes first, whichever is the newer one.
    const task = await api.assign({ task_type: 'system:recalc_quality' });
    await api.ended(task);
    expect((await api.execution(task)).workflow_id).toBe(own);
  });

  test('another tenant has its own, without the services of the first', async ({ api, service }) => {
    await register(api, { doc_store: service.url });
    const skipped = await api.post('/jobs/recalc-quality', {}, { 'X-Tenant-ID': 'other' });
    expect({ status: skipped.status, body: skipped.body }).toEqual({
      status: 200,
      body: {
        status: 'skipped',
        flagged: 0,
        timestamp: ISO,
        reason: 'no document store is configured: register doc_store or set DOC_STORE_URL',
      },
    });
    expect(service.calls).toEqual([]);
    const id = skipped.headers.get('x-execution-id') ?? '';
    expectProblem(await api.get(`/workflows/executions/${id}`), 404, 'not_found');
    const theirs = systemWorkflowId('other', 'recalc_quality');
    expectProblem(await api.get(`/workflows/${theirs}`), 404, 'not_found');
    expectProblem(await api.put(`/workflows/${theirs}`, { description: 'mine' }), 404, 'not_found');
    expectProblem(await api.send('DELETE', `/workflows/${theirs}`), 404, 'not_found');
  });

  test('it can be read, executed, scheduled and paused by its alias, and neither changed nor deleted', async ({
    api,
    service,
  }) => {
    service.answer(() => ({ body: [{ flags: ['x'] }] }));
    await register(api, { doc_store: service.url });
    const alias = '/workflows/system:recalc_quality';
    const id = systemWorkflowId('default', 'recalc_quality');
    expect(accepted(await api.get(alias), 200).body).toMatchObject({ workflow_id: id, version: 1 });
    for (const refused of [
      await api.put(alias, { description: 'mine' }),
      await api.send('DELETE', `${alias}?force=true`),
      await api.put(`${alias}/canary`, { version: 1, percent: 5 }),
    ])
      expectProblem(refused, 403, 'forbidden');
    expect((await api.finished(await api.execute('system:recalc_quality'))).output).toEqual({
      status: 'success',
      flagged: 1,
    });

    const schedule = { name: 'quality', workflow_id: 'system:recalc_quality', interval_seconds: 86_400 };
    const made = accepted(await api.post('/schedules', schedule), 201).body as { schedule_id: string };
    expect(made).toMatchObject({ workflow_id: id });
    const begun = accepted(await api.post(`/schedules/${made.schedule_id}/trigger`), 202).body;
    const triggered = await api.finished((begun as { execution_id: string }).execution_id);
    expect(triggered).toMatchObject({ workflow_id: id, output: { status: 'success', flagged: 1 } });
    accepted(await api.send('DELETE', `/schedules/${made.schedule_id}`), 204);

    accepted(await api.put(alias, { status: 'paused' }), 200);
    expectProblem(await api.post('/jobs/recalc-quality'), 409, 'workflow_paused');
    accepted(await api.put(alias, { status: 'active' }), 200);
    accepted(await api.post('/jobs/recalc-quality'), 200);
  });

  test('a service that is down, that refuses, or that answers nonsense is named, and tried again where that helps', async ({
    api,
    service,
  }) => {
    await register(api, { doc_store: NOBODY });
    const down = await api.post('/jobs/recalc-quality');
    expectProblem(down, 502, 'upstream_unavailable');
    const id = down.headers.get('x-execution-id') ?? '';
    expect(down.body).toMatchObject({
      detail: "The service 'doc_store' is not available (network_error)",
      execution_id: id,
      links: { execution: `/workflows/executions/${id}` },
    });
    const failed = await api.execution(id);
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'network_error', action_id: 'quality' } });
    expect(taskOf(failed, 'quality').attempts).toBe(3);

    await register(api, { doc_store: service.url });
    service.answer(() => ({ status: 500 }));
    expectProblem(await api.post('/jobs/recalc-quality'), 502, 'upstream_unavailable');
    expect(service.calls).toHaveLength(3);
    service.answer(() => ({ status: 403 }));
    const refused = await api.post('/jobs/recalc-quality');
    expectProblem(refused, 502, 'upstream_rejected');
    expect(service.calls).toHaveLength(4);
    service.answer(() => ({ body: '<html>', headers: { 'content-type': 'text/html' } }));
    const nonsense = await api.post('/jobs/recalc-quality');
    expectProblem(nonsense, 502, 'upstream_error');
    expect(nonsense.body).toMatchObject({ detail: "The service 'doc_store' gave an answer of another form" });

    // What failed is an execution like any other: it goes on when the service is there again.
    service.answer(() => ({ body: { data: { items: [{ flags: [1] }] } } }));
    accepted(await api.post(`/workflows/executions/${id}/retry`), 202);
    expect(await api.finished(id)).toMatchObject({ status: 'completed', output: { status: 'success', flagged: 1 } });
  });

  test('who does not wait is told where the execution is, which ends by itself', async ({ api, service }) => {
    const held: Array<() => void> = [];
    service.answer(() => new Promise((resolve) => held.push(() => resolve({ body: { items: [] } }))));
    await register(api, { doc_store: service.url });
    const late = await api.post('/jobs/recalc-quality?wait=0.2', {}, { 'Idempotency-Key': 'slow' });
    expectProblem(late, 504, 'still_running');
    const id = late.headers.get('x-execution-id') ?? '';
    expect(late.body).toMatchObject({
      detail: `The execution ${id} goes on; its end will be at /workflows/executions/${id}`,
      execution_id: id,
      links: { execution: `/workflows/executions/${id}` },
    });
    await until(() => held.length === 1);
    held[0]?.();
    const again = await api.post('/jobs/recalc-quality', {}, { 'Idempotency-Key': 'slow' });
    expect({ status: again.status, body: again.body }).toMatchObject({ status: 200, body: { flagged: 0 } });
    expect([again.headers.get('x-execution-id'), again.headers.get('idempotency-replayed')]).toEqual([id, 'true']);
    expect(service.calls).toHaveLength(1);
    expectProblem(await api.post('/jobs/recalc-quality?wait=31'), 400, 'invalid_request');
    expectProblem(await api.post('/jobs/recalc-quality', { wait: 3 }), 400, 'invalid_request');
  });

  test('versions are made once, however many processes want them at the same time', async ({ db }) => {
    const store = createSystemWorkflowStore(db);
    const definition = (description: string): Definition => ({
      name: 'system:race',
      description,
      tags: ['system'],
      parameters: [],
      actions: [],
      metadata: { content: description },
    });
    const id = systemWorkflowId('racers', 'race');
    const keep = (content: string) => store.ensureVersion('racers', id, definition(content), content);
    const versions = await Promise.all(Array.from({ length: 16 }, (_, n) => keep(n % 2 === 0 ? 'old' : 'new')));
    const [old = 0, fresh = 0] = versions;
    expect([old, fresh].sort()).toEqual([1, 2]);
    expect(versions).toEqual(versions.map((_, n) => (n % 2 === 0 ? old : fresh)));
    const { rows } = await db.query('SELECT version FROM workflow_version WHERE workflow_id = $1 ORDER BY 1', [id]);
    expect(rows).toEqual([{ version: 1 }, { version: 2 }]);
    const heads = await db.query('SELECT current_version, newest_version FROM workflow WHERE id = $1', [id]);
    expect(heads.rows).toEqual([{ current_version: 2, newest_version: 2 }]);
  });
});
