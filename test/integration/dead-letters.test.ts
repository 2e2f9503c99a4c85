/** Dead letters: every task that failed for good is listed until its run is retried or somebody lets it go. */
import { describe, expect } from 'vitest';
import { type Answer, accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

/** A client of a tenant that nobody else uses. */
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });
const dlq = async (api: Client, query = '') => accepted(await api.get(`/infrastructure/dlq${query}`), 200);
const ids = (answer: Answer) => list(answer).map((item) => item['event_id']);
const stats = async (api: Client) => accepted(await api.get('/infrastructure/dlq/stats'), 200).body;
const retry = async (api: Client, body?: object) =>
  accepted(await api.post('/infrastructure/dlq/retry', body), 200).body;
const discard = async (api: Client, body: object) =>
  accepted(await api.post('/infrastructure/dlq/discard', body), 200).body;

describe.each(onBothBackends())('dead letters on $backend', ({ test }) => {
  test('only what failed for good is one, not what was let go or never ran', async ({ api: any }) => {
    const api = tenant(any, 'listed');
    const run = await api.run(
      workflow([
        echo('well'),
        failing('bad', ['well']),
        failing('letgo', [], { on_failure: 'continue' }),
        echo('never', ['bad']),
      ]),
    );
    const answer = await dlq(api);
    expect(answer.body).toMatchObject({ total: 1, next_cursor: null });
    expect(list(answer)).toMatchObject([
      {
        event_id: `${run.execution_id}/bad`,
        execution_id: run.execution_id,
        action_id: 'bad',
        action_type: 'test_task',
        workflow_id: run.workflow_id,
        error: { code: 'adapter_failed', message: 'bad failed' },
        attempts: 1,
        retries: 0,
        retryable: true,
        execution_status: 'failed',
      },
    ]);
    expect(await stats(api)).toMatchObject({
      total_events: 1,
      failed_events: 1,
      retryable_events: 1,
      retried_events: 0,
    });
    expect((await dlq(tenant(any, 'other'))).body).toMatchObject({ items: [], total: 0 });
  });

  test('they are listed newest first, page by page, and by every filter', async ({ api: any }) => {
    const api = tenant(any, 'paged');
    const of = await api.createWorkflow(workflow([failing('a'), failing('b'), failing('c.d')]));
    const runs = [await api.execute(of), await api.execute(of)];
    for (const run of runs) await api.ended(run);
    const task = await api.assign({
      task_type: 'http_request',
      params: { url: 'http://127.0.0.1:1/' },
      max_attempts: 1,
    });
    await api.ended(task);
    const all = ids(await dlq(api));
    expect(all).toHaveLength(7);
    expect(all[0]).toContain(task);
    const paged: unknown[] = [];
    for (let cursor: unknown = ''; cursor !== null; ) {
      const page = await dlq(api, `?limit=3${cursor === '' ? '' : `&cursor=${String(cursor)}`}`);
      paged.push(...ids(page));
      cursor = (page.body as { next_cursor: unknown }).next_cursor;
    }
    expect(paged).toEqual(all);
    expect(ids(await dlq(api, '?action_type=http_request'))).toEqual([all[0]]);
    expect(ids(await dlq(api, `?workflow_id=${of}`))).toHaveLength(6);
    expect(ids(await dlq(api, '?error_code=adapter_failed'))).toHaveLength(6);
    expect(ids(await dlq(api, '?from=2000-01-01&to=2001-01-01'))).toEqual([]);
    expectProblem(await api.get('/infrastructure/dlq?cursor=nonsense'), 400, 'invalid_request');
    expectProblem(await api.get('/infrastructure/dlq?limit=0'), 400, 'invalid_request');
    await discard(api, { event_ids: [`${runs[0]}/c.d`] });
    expect(ids(await dlq(api))).toHaveLength(6);
  });

  test('a retry by filter runs what failed again, and no completed task', async ({ api: any, service, db }) => {
    const api = tenant(any, 'retried');
    service.answer(({ path }) => (path === '/bad' ? { status: 400 } : { body: {} }));
    const call = (id: string, dependsOn: string[]) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/${id}` },
      depends_on: dependsOn,
    });
    const of = await api.createWorkflow(workflow([call('good', []), call('bad', ['good']), call('last', ['bad'])]));
    const runs = await Promise.all(Array.from({ length: 5 }, () => api.execute(of)));
    for (const run of runs) await api.ended(run);
    expect(await retry(api, { error_code: 'timeout' })).toMatchObject({ retried_events: 0, total_events: 0 });
    expect(await retry(api, { workflow_id: of, dry_run: true })).toEqual({
      retried_events: 5,
      total_events: 5,
      dry_run: true,
    });
    expect(await stats(api)).toMatchObject({ failed_events: 5, retried_events: 0 });

    service.answer(() => ({ body: {} }));
    expect(await retry(api, { event_ids: [`${runs[0]}/bad`, 'unknown/bad'] })).toMatchObject({
      retried_events: 1,
      total_events: 1,
    });
    expect(await api.finished(runs[0] ?? '')).toMatchObject({ status: 'completed' });
    // As older clients send it.
    expect(await retry(api)).toMatchObject({ retried_events: 4, total_events: 4 });
    for (const run of runs) expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    const count = (id: string) => service.calls.filter(({ path }) => path === `/${id}`).length;
    expect(['good', 'bad', 'last'].map(count)).toEqual([5, 10, 5]);
    expect(await stats(api)).toEqual({
      total_events: 5,
      failed_events: 0,
      retryable_events: 0,
      retried_events: 5,
      oldest_event: null,
      newest_event: null,
    });
    const { rows } = await db.query('SELECT 1 FROM run WHERE id = ANY($1) AND epoch <> 2', [runs]);
    expect(rows).toEqual([]);
  });

  test('max_retries leaves alone what was retried that often', async ({ api: any }) => {
    const api = tenant(any, 'often');
    const { execution_id: run } = await api.run(workflow([failing('bad')]));
    expect(await retry(api, { max_retries: 1 })).toMatchObject({ retried_events: 1 });
    await until(async () => ids(await dlq(api)).length === 1);
    expect(list(await dlq(api))).toMatchObject([{ execution_id: run, retries: 1 }]);
    expect(await retry(api, { max_retries: 1 })).toMatchObject({ retried_events: 0, total_events: 0 });
    expect(await retry(api, { max_retries: 2, dry_run: true })).toMatchObject({ retried_events: 1 });
  });

  test('what was discarded is gone from the list, and comes back only when it fails again', async ({
    api: any,
    db,
  }) => {
    const api = tenant(any, 'discarded');
    const { execution_id: run } = await api.run(workflow([failing('one'), failing('two')]));
    expectProblem(await api.post('/infrastructure/dlq/discard', {}), 400, 'invalid_request');
    expectProblem(await api.post('/infrastructure/dlq/discard', { dry_run: true }), 400, 'invalid_request');
    expectProblem(await api.post('/infrastructure/dlq/discard', { event_ids: ['nonsense'] }), 400, 'invalid_request');
    const one = { event_ids: [`${run}/one`] };
    expect(await discard(tenant(any, 'other'), one)).toMatchObject({ discarded_events: 0, total_events: 0 });
    expect(await discard(api, { ...one, dry_run: true })).toMatchObject({ discarded_events: 1, total_events: 1 });
    expect(await discard(api, one)).toMatchObject({ discarded_events: 1, total_events: 1 });
    expect(await discard(api, one)).toMatchObject({ discarded_events: 0, total_events: 0 });
    expect(ids(await dlq(api))).toEqual([`${run}/two`]);
    expect(await retry(api, one)).toMatchObject({ retried_events: 0 });
    const { rows } = await db.query(`SELECT action_id FROM event WHERE run_id = $1 AND kind = 'task.discarded'`, [run]);
    expect(rows).toEqual([{ action_id: 'one' }]);
    await retry(api);
    await until(async () => ids(await dlq(api)).length === 2);
  });

  test('one is let go by its id in the path too, as it is or encoded', async ({ api: any, db }) => {
    const api = tenant(any, 'deleted');
    const { execution_id: run } = await api.run(workflow([failing('one'), failing('two')]));
    const gone = (client: Client, id: string) => client.send('DELETE', `/infrastructure/dlq/${id}`);
    for (const id of [`${run}/three`, `unknown/one`, 'unknown']) expectProblem(await gone(api, id), 404, 'not_found');
    expectProblem(await gone(api, 'x'.repeat(600)), 400, 'invalid_request');
    expect((await gone(tenant(any, 'other'), `${run}/one`)).body).toMatchObject({ detail: 'Dead letter not found' });
    expect(ids(await dlq(api))).toHaveLength(2);
    expect(accepted(await gone(api, `${run}/one`), 204).text).toBe('');
    expect(accepted(await gone(api, encodeURIComponent(`${run}/two`)), 204).text).toBe('');
    expectProblem(await gone(api, `${run}/one`), 404, 'not_found');
    expect(ids(await dlq(api))).toEqual([]);
    const { rows } = await db.query(`SELECT data FROM event WHERE run_id = $1 AND kind = 'task.discarded'`, [run]);
    expect(rows).toEqual([{ data: { by: 'anonymous' } }, { data: { by: 'anonymous' } }]);
  });

  test('the longest ids lead to theirs too, and so do those of undoings', async ({ api: any }) => {
    const api = tenant(any, 'long');
    const [done, long] = ['\u00fc'.repeat(255), 'l'.repeat(255)];
    const { execution_id: run } = await api.run(
      workflow([
        echo(
          done,
          [],
          {},
          { compensate: { action_type: 'test_task', config: { fail_with: 'no' }, retry: { max_attempts: 1 } } },
        ),
        failing(long, [done]),
        failing('short', [done]),
      ]),
    );
    const all = [`${run}/${done}~undo`, `${run}/${long}`, `${run}/short`];
    await until(async () => ids(await dlq(api)).length === all.length);
    const paged: unknown[] = [];
    for (let query: string | undefined = ''; query !== undefined; ) {
      const page = await dlq(api, `?limit=1${query}`);
      paged.push(...ids(page));
      const next = (page.body as { next_cursor: string | null }).next_cursor;
      query = next !== null ? `&cursor=${encodeURIComponent(next)}` : undefined;
    }
    expect(new Set(paged)).toEqual(new Set(all));
    expect(await discard(api, { event_ids: all, dry_run: true })).toMatchObject({ discarded_events: all.length });
    const [undoing = '', ...others] = all;
    const byParts = undoing.split('/').map(encodeURIComponent).join('/');
    for (const id of [byParts, ...others.map(encodeURIComponent)])
      accepted(await api.send('DELETE', `/infrastructure/dlq/${id}`), 204);
    expect(ids(await dlq(api))).toEqual([]);
  });

  test('the metric counts them for all tenants', async ({ api, db }) => {
    await api.run(workflow([failing('bad')]));
    const { rows } = await db.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM task WHERE status = 'failed' AND final AND NOT tolerated AND discarded_at IS NULL`,
    );
    await until(
      async () => {
        const { text } = await api.get('/metrics');
        return text.includes(`orchestrator_dead_letter_queue_size{service="orchestrator"} ${rows[0]?.n}\n`);
      },
      { timeoutMs: 10_000 },
    );
  });
});
