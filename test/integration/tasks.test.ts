import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect } from 'vitest';
import { field, list } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe.each(onBothBackends({ environment: { WEBHOOK_SECRET: 'the-new-one,whsec_c2VjcmV0IG9mIHRoZSB0ZXN0' } }))(
  'the simple door on $backend',
  ({ test, backend }) => {
    test('approve_batches, as older clients send it, is assigned and gives its counts', async ({ api }) => {
      const answer = await api.post('/assign-task/', {
        task_type: 'approve_batches',
        params: { batch_ids: [1, 2, 3], auto_approve: true },
      });
      expect(answer.status).toBe(202);
      expect(answer.body).toEqual({
        task_id: expect.any(String),
        status: 'assigned',
        message: "Task 'approve_batches' successfully assigned",
        timestamp: expect.stringMatching(ISO),
      });
      const id = field(answer, 'task_id');
      await api.ended(id);
      expect((await api.get(`/result/${id}`)).body).toEqual({
        task_id: id,
        status: 'completed',
        result: { processed_batches: 3, approved: 2, rejected: 1, simulated: true },
        attempts: 1,
        timestamp: expect.stringMatching(ISO),
      });
    });

    test('test_task with empty params, as older clients send it, completes with an object', async ({ api }) => {
      const id = await api.assign({ task_type: 'test_task', params: {} });
      const answer = await api.get(`/result/${id}/?wait=10`);
      expect(answer.body).toEqual({
        task_id: id,
        status: 'completed',
        result: {},
        attempts: 1,
        timestamp: expect.stringMatching(ISO),
      });
    });

    test('params may be left out', async ({ api }) => {
      const id = await api.assign({ task_type: 'test_task' });
      expect(await api.ended(id)).toMatchObject({ status: 'completed', result: {} });
    });

    test('a failed task answers 200 with the bare message and no result', async ({ api }) => {
      const id = await api.assign({
        task_type: 'test_task',
        params: { fail_with: 'Connection timeout to ESC system' },
        max_attempts: 1,
      });
      await api.ended(id);
      const answer = await api.get(`/result/${id}`);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        task_id: id,
        status: 'failed',
        error: 'Connection timeout to ESC system',
        attempts: 1,
        timestamp: expect.stringMatching(ISO),
      });
    });

    test('wait answers as soon as the task ends, and with the state of then when the time is up', async ({ api }) => {
      const id = await api.assign({ task_type: 'test_task', params: { duration: 1 } });
      expect((await api.get(`/result/${id}?wait=0.2`)).body).toMatchObject({
        status: expect.stringMatching(/pending|running/),
      });
      const from = performance.now();
      expect((await api.get(`/result/${id}?wait=20`)).body).toMatchObject({
        status: 'completed',
        result: { duration: 1 },
      });
      // Long before the time was up.
      expect(performance.now() - from).toBeLessThan(18_000);
    });

    test('a poller that sends back the ETag gets 304 until something changes', async ({ api }) => {
      const id = await api.assign({ task_type: 'test_task', params: {}, delay_seconds: 1 });
      const pending = await api.get(`/result/${id}`);
      expect(pending.body).toMatchObject({ status: 'pending' });
      const same = await api.get(`/result/${id}`, { 'if-none-match': pending.headers.get('etag') ?? '' });
      expect(same).toMatchObject({ status: 304, text: '' });
      await api.ended(id);
      const changed = await api.get(`/result/${id}`, { 'if-none-match': pending.headers.get('etag') ?? '' });
      expect(changed).toMatchObject({ status: 200, body: { status: 'completed' } });
      expect(changed.headers.get('etag')).not.toBe(pending.headers.get('etag'));
    });

    test('an unknown task is not found, and neither is one of another tenant', async ({ api }) => {
      const unknown = await api.get('/result/0197c2a0-5b1e-7c33-9d2f-6a1b0c9d8e7f');
      expectProblem(unknown, 404, 'not_found');
      expect(unknown.body).toMatchObject({ detail: 'Task not found', message: 'Task not found' });
      const id = await api.assign({ task_type: 'test_task' });
      expectProblem(await api.get(`/result/${id}`, { 'x-tenant-id': 'another' }), 404, 'not_found');
      await api.ended(id);
    });

    test('an unknown type is refused with the known ones and leaves no row', async ({ api, db }) => {
      const before = await db.query('SELECT count(*) FROM run');
      const answer = await api.post('/assign-task', { task_type: 'approve_batch' });
      expectProblem(answer, 422, 'unknown_task_type');
      expect(answer.body).toMatchObject({
        detail: expect.stringContaining('approve_batches'),
        errors: [{ path: 'task_type' }],
      });
      expect((await db.query('SELECT count(*) FROM run')).rows).toEqual(before.rows);
    });

    test('a task type may be the name of a workflow, which is run with the params', async ({ api }) => {
      const name = `Greeting ${backend}`;
      await api.createWorkflow({
        name,
        parameters: [{ name: 'who', type: 'string' }],
        actions: [{ action_id: 'greet', action_type: 'test_task', config: { text: 'Hello {{who}}' } }],
      });
      const id = await api.assign({ task_type: name, params: { who: 'Ada' } });
      expect(await api.ended(id)).toMatchObject({ status: 'completed', result: { greet: { text: 'Hello Ada' } } });
    });

    test('of many tasks at once a bad one does not sink the rest', async ({ api }) => {
      const answer = await api.post('/assign-tasks', {
        tasks: [
          { task_type: 'test_task', params: { n: 0 } },
          { task_type: 'no_such_task' },
          { task_type: 'test_task', priority: 0 },
          { task_type: 'approve_batches', params: { batch_ids: 'all' } },
          { task_type: 'test_task', params: { n: 4 } },
        ],
      });
      expect(answer.status).toBe(202);
      const items = list(answer);
      expect(items).toEqual([
        { index: 0, task_id: expect.any(String), status: 'assigned' },
        { index: 1, error: expect.objectContaining({ code: 'unknown_task_type' }) },
        { index: 2, error: expect.objectContaining({ errors: [expect.objectContaining({ path: 'priority' })] }) },
        {
          index: 3,
          error: expect.objectContaining({ errors: [expect.objectContaining({ path: 'params.batch_ids' })] }),
        },
        { index: 4, task_id: expect.any(String), status: 'assigned' },
      ]);
      for (const index of [0, 4]) {
        expect(await api.ended(String(items[index]?.['task_id']))).toMatchObject({
          status: 'completed',
          result: { n: index },
        });
      }
    });

    test('a thousand tasks at once all complete with their own results, and one more is refused', async ({
      api,
      db,
    }) => {
      const tasks = Array.from({ length: 1_000 }, (_, n) => ({ task_type: 'test_task', params: { n } }));
      const items = list(await api.post('/assign-tasks', { tasks }));
      const ids = items.map((item) => String(item['task_id']));
      expect(new Set(ids).size).toBe(1_000);
      const wrong = `SELECT k.id FROM unnest($1::text[]) WITH ORDINALITY AS k(id, n) JOIN run r ON r.id = k.id LEFT JOIN task t ON t.run_id = r.id
                   WHERE NOT (r.final AND r.status = 'completed' AND t.output = jsonb_build_object('n', k.n - 1)) OR t.output IS NULL`;
      await until(async () => (await db.query(wrong, [ids])).rowCount === 0, {
        what: 'all 1,000 are completed',
      });
      expectProblem(
        await api.post('/assign-tasks', { tasks: [...tasks, ...tasks.slice(0, 1)] }),
        400,
        'invalid_request',
      );
    });

    test('a delayed task does not begin before its time', async ({ api, db }) => {
      const id = await api.assign({ task_type: 'test_task', delay_seconds: 1.5 });
      expect(await api.ended(id)).toMatchObject({ status: 'completed' });
      const { rows } = await db.query<{ waited: number }>(
        `SELECT extract(epoch FROM a.started_at - r.created_at)::float8 AS waited FROM run r JOIN attempt a ON a.run_id = r.id WHERE r.id = $1`,
        [id],
      );
      expect(rows[0]?.waited).toBeGreaterThanOrEqual(1.5);
      expect(rows[0]?.waited).toBeLessThan(8);
    });

    test('the callback is told how the task ended, with Standard Webhooks headers', async ({ api, service }) => {
      const id = await api.assign({
        task_type: 'test_task',
        params: { n: 7 },
        callback_url: `${service.url}/hook`,
        correlation_id: 'c-7',
      });
      const failing = await api.assign({
        task_type: 'test_task',
        params: { fail_with: 'no' },
        max_attempts: 1,
        callback_url: `${service.url}/hook`,
      });
      await until(() => service.calls.length === 2);
      const of = (taskId: string) => service.calls.find(({ body }) => (body as { task_id: string }).task_id === taskId); // It is an object with it.
      expect(of(id)).toMatchObject({
        method: 'POST',
        path: '/hook',
        body: { task_id: id, status: 'completed', result: { n: 7 }, correlation_id: 'c-7' },
      });
      expect(of(failing)).toMatchObject({ body: { task_id: failing, status: 'failed', error: { message: 'no' } } });
      const call = of(id);
      const { headers, body }: { headers: IncomingHttpHeaders; body: unknown } = call ?? {
        headers: {},
        body: undefined,
      };
      const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${JSON.stringify(body)}`;
      // While one secret replaces another a receiver knows the call by either.
      const signatures = ['the-new-one', Buffer.from('c2VjcmV0IG9mIHRoZSB0ZXN0', 'base64')].map(
        (secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`,
      );
      expect(headers['webhook-signature']).toBe(signatures.join(' '));
    });

    test('one key posted fifty times at once begins one run and answers one task', async ({ api, db }) => {
      const post = () =>
        api.post(
          '/assign-task',
          { task_type: 'test_task', params: { n: 1 } },
          { 'idempotency-key': `fifty-${backend}` },
        );
      const answers = await Promise.all(Array.from({ length: 50 }, post));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
      const ids = new Set(answers.map((answer) => field(answer, 'task_id')));
      expect(ids.size).toBe(1);
      const { rows } = await db.query('SELECT id FROM run WHERE idempotency_key = $1', [`fifty-${backend}`]);
      expect(rows).toEqual([{ id: [...ids][0] }]);
      await api.ended([...ids][0] ?? '');
      expect(field(await post(), 'task_id')).toBe([...ids][0]);
      const events = await db.query(`SELECT 1 FROM event WHERE run_id = $1 AND kind = 'task.completed'`, [[...ids][0]]);
      expect(events.rowCount).toBe(1);
    });

    test('a key used again with another body is a conflict, and another tenant may use it as well', async ({ api }) => {
      const headers = { 'idempotency-key': `other-body-${backend}` };
      const first = await api.assign({ task_type: 'test_task', params: { n: 1 } }, headers);
      expectProblem(
        await api.post('/assign-task', { task_type: 'test_task', params: { n: 2 } }, headers),
        409,
        'idempotency_conflict',
      );
      const other = await api.post(
        '/assign-task',
        { task_type: 'test_task', params: { n: 2 } },
        { ...headers, 'x-tenant-id': 'another' },
      );
      expect(field(other, 'task_id')).not.toBe(first);
      await api.ended(first);
    });

    test('the service tells of itself, of its health and of what it can do', async ({ api }) => {
      expect((await api.get('/')).body).toMatchObject({
        service: 'orchestrator_service',
        status: 'running',
        version: expect.any(String),
      });
      expect(await api.get('/health')).toMatchObject({
        status: 200,
        body: {
          status: 'healthy',
          redis: backend === 'redis' ? 'connected' : 'not_configured',
          database: 'connected',
          timestamp: expect.stringMatching(ISO),
        },
      });
      const shipped = [
        'approve_batches',
        'http_request',
        'notification',
        'service_call',
        'test_task',
        'transform',
        'wait',
      ];
      expect((await api.get('/tasks/')).body).toEqual({ available_tasks: expect.arrayContaining(shipped) });
      const types = list(await api.get('/action-types'));
      expect(types.map((type) => type['action_type'])).toEqual(expect.arrayContaining(shipped));
      for (const type of types)
        expect(type).toMatchObject({ config_schema: { type: expect.anything() }, output_schema: expect.anything() });
      for (const page of ['/docs', '/redoc', '/openapi.json', '/openapi.yaml', '/admin/queues'])
        expect(await api.get(page), page).toMatchObject({ status: 200 });
    });
  },
);

describe.each(onBothBackends({ worker: { WORKER_CONCURRENCY: '1' } }))(
  'with one task at a time on $backend',
  ({ test }) => {
    test('tasks of a more urgent priority are begun before others that came first', async ({ api, db }) => {
      const first = await api.assign({ task_type: 'test_task', params: { duration: 600 } });
      await until(async () => (await api.get(`/result/${first}`)).text.includes('running'));
      const given = [50, 100, 1, 30];
      const ids: string[] = [];
      for (const priority of given) ids.push(await api.assign({ task_type: 'test_task', priority }));
      await api.post(`/workflows/executions/${first}/cancel`);
      for (const id of ids) await api.ended(id);
      const { rows } = await db.query<{ id: string }>(
        'SELECT run_id AS id FROM attempt WHERE run_id = ANY($1) ORDER BY started_at',
        [ids],
      );
      expect(rows.map(({ id }) => given[ids.indexOf(id)])).toEqual([1, 30, 50, 100]);
    });
  },
);
